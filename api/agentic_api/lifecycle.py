"""Whether this process should get requests: the server says when it is to stop, readiness asks."""

from dataclasses import dataclass


@dataclass
class Lifecycle:
    """The state of the process."""

    draining: bool = False
    """Whether it was told to stop."""
