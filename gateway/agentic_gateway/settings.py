"""The gateway's settings; `main` reads them once."""

from pathlib import Path

from pydantic import Field, SecretStr

from agentic_core.settings import Settings


class GatewaySettings(Settings):
    """Environment variables of the gateway, prefix `AGENTIC_`."""

    metrics_port: int = 9090
    """TCP port of `/metrics`."""
    database_url: SecretStr
    """DSN of the gateway's own role, which appends usage and reads nothing that was said:
    postgresql://agentic_gateway:…@host/agentic."""
    run_token_public_key_file: Path
    """File with the api's public keys in PEM format; several while a key is rotated."""
    kubeconfig: Path | None = None
    """A kubeconfig file; without it the pod's own service account is used."""
    namespace: str = "agentic-system"
    """The platform's own namespace: its Services are no providers."""
    private_providers: bool = False
    """Whether tenants' providers may have private addresses, such as those of Services of the cluster."""
    loopback_providers: bool = False
    """Whether providers may have loopback addresses; for development and tests only."""
    trusted_trace: bool = False
    """Whether the trace (`traceparent`) is sent to providers, which are other companies as a rule."""
    max_request_bytes: int = Field(default=32 * 1024 * 1024, gt=0)
    """Largest body of a request."""
    max_answer_bytes: int = Field(default=32 * 1024 * 1024, gt=0)
    """Largest response that is not streamed."""
    max_event_bytes: int = Field(default=1024 * 1024, gt=0)
    """Largest event of a stream."""
    calls: int = Field(default=512, ge=1)
    """Calls in progress from which on each tenant may have its equal part of them only."""
    calls_per_tenant: int = Field(default=256, ge=1)
    """Calls of one tenant in progress; more are refused with 429."""
    request_bytes: int = Field(default=192 * 1024 * 1024, gt=0)
    """Bytes of the requests in progress, those of up to 64 KiB not counted; more wait, and are refused with 429."""
    request_bytes_per_tenant: int = Field(default=64 * 1024 * 1024, gt=0)
    """Bytes of the requests of one tenant in progress; at least one of the largest size is admitted."""
    response_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Bytes kept of responses, those of up to 64 KiB not counted; more wait, and their calls end with 503."""
    response_bytes_per_tenant: int = Field(default=64 * 1024 * 1024, gt=0)
    """Bytes kept of the responses to one tenant; at least one of the largest size is admitted."""
    share_wait_seconds: float = Field(default=5, ge=0)
    """How long a call waits for bytes of others to become free."""
    max_header_bytes: int = Field(default=32 * 1024, gt=0)
    """Largest head of a request: request line and headers."""
    request_seconds: float = Field(default=600, gt=0)
    """Longest time from a request to the end of its response, retries included."""
    receive_seconds: float = Field(default=30, gt=0)
    """Longest time in which a request has to arrive in full."""
    connect_seconds: float = Field(default=5, gt=0)
    """Longest time to connect to a provider."""
    silence_seconds: float = Field(default=120, gt=0)
    """Longest time in which a provider sends nothing."""
    attempts: int = Field(default=3, ge=1, le=10)
    """How often one backend is tried before the next."""
    connections_per_provider: int = Field(default=1000, ge=1)
    """Most connections to one provider's host."""
    circuit_failures: int = Field(default=5, ge=1)
    """After how many failures in a row a provider is left alone."""
    circuit_seconds: float = Field(default=15, gt=0)
    """For how long it is left alone, before one request tries it again."""
    key_seconds: float = Field(default=30, ge=0)
    """For how long a provider's key is kept in memory before its Secret is read again."""
    usage_wait_seconds: float = Field(default=5, gt=0)
    """How long the end of a response waits for its usage to be committed."""
    usage_backlog: int = Field(default=10_000, ge=1)
    """With so many rows of usage not yet committed, requests are refused of tenants that hold their share of them."""
    database_pooler: bool = False
    """Whether the DSN is that of a pooler in transaction mode, such as PgBouncer."""
    database_connections: int = Field(default=4, ge=1, le=64)
    """Most connections to PostgreSQL."""
    drain_seconds: int = Field(default=50, ge=0)
    """How long open responses may go on after SIGTERM; keep it below the pod's grace period."""
