"""The operator's settings, from environment variables with the prefix `AGENTIC_`; `main` reads them once."""

import os
import socket
from pathlib import Path

from pydantic import Field

from agentic_core.settings import Settings
from agentic_operator.desired.platform import PlatformSettings


class OperatorSettings(Settings):
    """Settings of the operator."""

    kubeconfig: Path | None = None
    """A kubeconfig to use instead of the pod's ServiceAccount."""
    namespace: str = "agentic-system"
    """The platform's own namespace, with the operator's Lease, the api and the gateway."""
    liveness_port: int = 8081
    """Port of `/healthz`; metrics and readiness are on `port`."""
    identity: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """This process in the election of the leader."""
    runtime_image: str
    """Image of the agent server."""
    tools: frozenset[str] = frozenset({"calculator", "http_fetch"})
    """Names of the tools in the runtime image."""
    private_providers: bool = False
    """Whether ModelProviders may have private addresses."""
    run_token_keys: str
    """Public keys in PEM that runtimes check run tokens with."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in the tenants' namespaces that pull the runtime image."""

    @property
    def platform(self) -> PlatformSettings:
        """The part that decides what shall exist."""
        return PlatformSettings(
            namespace=self.namespace,
            runtime_image=self.runtime_image,
            run_token_keys=self.run_token_keys,
            installed_tools=self.tools,
            private_providers=self.private_providers,
            otlp_endpoint=self.otlp_endpoint,
            log_level=self.log_level,
            image_pull_secrets=self.image_pull_secrets,
        )
