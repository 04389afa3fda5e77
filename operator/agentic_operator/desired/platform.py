"""The settings of the platform that decide what shall exist; read once at start, passed to the controllers."""

from dataclasses import dataclass

from agentic_core import names


@dataclass(frozen=True)
class PlatformSettings:
    """What builders may use of the platform's settings."""

    namespace: str
    """Namespace of the api, the gateway and the operator."""
    runtime_image: str
    """Image of the agent server."""
    run_token_keys: str
    """Public keys in PEM that run tokens are checked with."""
    installed_tools: frozenset[str] = frozenset()
    """Names of the tools in the runtime image."""
    private_providers: bool = False
    """Whether ModelProviders may have private addresses."""
    otlp_endpoint: str | None = None
    """Where the runtime exports its traces."""
    log_level: str = "info"
    """Log level of the runtime."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in a tenant's namespace that pull the runtime image."""

    @property
    def gateway_url(self) -> str:
        """Where the runtime calls models."""
        return f"http://{names.GATEWAY}.{self.namespace}.svc:{names.GATEWAY_PORT}"
