"""Settings of the agent server; `main` reads them once."""

from agentic_core.settings import Settings


class RuntimeSettings(Settings):
    """Read from environment variables with the prefix `AGENTIC_`."""

    namespace: str
    """Namespace of the pod: run tokens of any other are refused."""
    gateway_url: str
    """Base URL of the model gateway, without a version: http://agentic-gateway:8080."""
    run_token_keys: str
    """Ed25519 public keys in PEM format, one or several, that sign run tokens."""
    max_concurrent_runs: int = 256
    """Runs at a time; more are refused with 503."""
    max_body_bytes: int = 16 * 1024 * 1024
    """Largest run request that is read."""
    request_bytes: int = 64 * 1024 * 1024
    """Bytes of the requests of all runs in progress, each message counted as a KiB more. A request takes about four
    times as much memory, up to the end of its run; more requests wait, and are refused with 503."""
    share_wait_seconds: float = 5.0
    """Seconds that a run waits for the requests of others to end, before its own is read."""
    body_timeout: float = 30.0
    """Seconds within which a request's body must arrive."""
    drain_grace: float = 25.0
    """Seconds that runs in progress may go on after SIGTERM."""
    drain_linger: float = 2.0
    """Seconds that new runs are still refused with 503 after SIGTERM, until no client is sent here any more."""
    compiled_agents: int = 256
    """Compiled agents that are cached."""
    warm: tuple[str, ...] = ("openai",)
    """Wires whose libraries are loaded in the background right after start; others with their first run."""
    fetch_allow_private: bool = False
    """Let tools connect to private and loopback addresses. Metadata services stay out of reach."""
    fetch_ports: tuple[int, ...] = (80, 443)
    """TCP ports that tools may connect to."""
