"""The operator's settings, from environment variables with the prefix `AGENTIC_`; `main` reads them once."""

import os
import socket
from pathlib import Path

from pydantic import Field

from agentic_core.settings import Settings


class OperatorSettings(Settings):
    """Settings of the operator."""

    kubeconfig: Path | None = None
    """A kubeconfig to use instead of the pod's ServiceAccount."""
    namespace: str = "agentic-system"
    """The platform's own namespace: where the operator's Lease, the api and the gateway are."""
    identity: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """This process in the election of the leader."""
    runtime_image: str
    """Image of the agent server."""
