"""Settings of the REST api; `main` reads them once and passes them down."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from agentic_core.settings import Settings


class ApiSettings(Settings):
    """Environment variables `AGENTIC_...` of the program `agentic-api`."""

    metrics_port: int = 9090
    """TCP port of `/metrics`."""
    database_url: SecretStr = SecretStr("postgresql://agentic_api@localhost:5432/agentic")
    """DSN of the api's own role; it owns nothing and row-level security holds for it."""
    database_pooler: bool = False
    """Whether the DSN is that of a pooler in transaction mode, such as PgBouncer. Cancelling and following runs of
    other replicas then takes up to some seconds longer: notices do not pass such a pooler."""
    database_connections: Annotated[int, Field(ge=4, le=200)] = 16
    """Connections to the database that a replica may open, besides one for notices. Three of them are reserved, for
    leases of runs and for authentication. Those of all replicas, with the gateway's, must stay below what the server
    permits."""
    pepper_file: Path = Path("/etc/agentic/api-keys/pepper")
    """File with the secret under which API keys are hashed."""
    run_token_key_file: Path = Path("/etc/agentic/run-tokens/private.pem")
    """File with the private key that signs run tokens."""
    kubeconfig: Path | None = None
    """A kubeconfig file; without it the pod's own service account is used."""
    gitops_only: bool = False
    """Refuse writes of agents: they come from Git alone."""
    runtimes_anywhere: bool = False
    """Whether agents may run elsewhere than in the runtimes of their namespaces, also on loopback addresses; for
    development and tests only."""
    cors_origins: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """Origins of web pages that may call the api, for example ["https://console.example.com"]; none by default."""
    requests_per_minute: Annotated[int, Field(ge=0)] = 6000
    """Requests that one API key may make in a minute at a replica; 0 means any number."""
    tenant_requests_per_minute: Annotated[int, Field(ge=0)] = 30_000
    """Requests that all API keys of a tenant may make together in a minute at a replica; 0 means any number."""
    keys_per_tenant: Annotated[int, Field(ge=1)] = 100
    """API keys that a tenant may have in force; to make another it has to revoke one."""
    reads_per_tenant: Annotated[int, Field(ge=1)] = 4
    """Database connections that reads of one tenant may hold at a replica; further ones wait for them."""
    runs_per_tenant: Annotated[int, Field(ge=1)] = 200
    """Runs that one tenant may have in progress at a replica; further ones are rejected with 429."""
    followers_per_tenant: Annotated[int, Field(ge=1)] = 1000
    """Requests of one tenant that may wait for runs, or follow them, at a replica."""
    live_bytes: Annotated[int, Field(ge=1024 * 1024)] = 128 * 1024 * 1024
    """What the runs in progress may hold in a replica's memory, shared between the tenants that have any: a run of a
    tenant that holds more than its share ends as memory_exceeded. The process needs up to five times as much."""
    request_bytes: Annotated[int, Field(ge=32 * 1024 * 1024)] = 128 * 1024 * 1024
    """What requests that are handled, and responses that have not been read, may take of a replica's memory. One tenant
    may use half of it; its next requests wait some seconds and are then answered with 429."""
    event_days: Annotated[float, Field(ge=0)] = 7.0
    """Days for which the events of a run that has ended, and its idempotency key, are kept; 0 means for ever. The run
    itself and its messages stay."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2 * 1024 * 1024
    """Largest request body."""
    body_timeout: Annotated[float, Field(gt=0)] = 15.0
    """Seconds in which a request's body must arrive."""
    request_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds after which a request that is neither a run nor a stream is given up."""
    drain_seconds: Annotated[float, Field(ge=0)] = 5.0
    """Seconds between SIGTERM, when readiness fails, and the end of accepting connections."""
    shutdown_timeout: Annotated[int, Field(ge=1)] = 25
    """Seconds that requests and runs in progress have to end after that; without any, nothing is waited for."""
    key_cache_seconds: Annotated[float, Field(ge=0, le=5)] = 3.0
    """Seconds for which a key that was looked up is trusted: a revoked key works no longer than this."""


class InstallSettings(Settings):
    """Environment variables `AGENTIC_...` of `agentic-api install` and `agentic-api migrate`."""

    migrator_dsn: SecretStr = SecretStr("postgresql://agentic_migrator@localhost:5432/agentic")
    """DSN of the role that owns the tables through its membership in agentic_owner."""
    namespace: str = "agentic-system"
    """Namespace of the platform's Secrets."""
    kubeconfig: Path | None = None
    """A kubeconfig file; without it the pod's own service account is used."""
