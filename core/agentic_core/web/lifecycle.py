"""Whether this process should get requests: the server says when it is to stop, readiness asks."""

from dataclasses import dataclass
from time import monotonic


@dataclass
class Lifecycle:
    """The state of the process."""

    draining: bool = False
    """Whether it was told to stop."""
    ends_at: float = 0.0
    """When it stops whatever is still in progress, by `time.monotonic`."""

    def drain(self, seconds: float) -> None:
        """It was told to stop, and what is in progress has so many seconds to end."""
        self.draining, self.ends_at = True, monotonic() + seconds

    def left(self) -> float:
        """Seconds that what is in progress still has."""
        return max(0.0, self.ends_at - monotonic())
