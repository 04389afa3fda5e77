"""Whether this process should get requests: the server starts its drain, readiness reads it."""

from dataclasses import dataclass
from time import monotonic


@dataclass
class Lifecycle:
    """The state of the process."""

    draining: bool = False
    """Whether a signal to stop has come."""
    ends_at: float = 0.0
    """When whatever is still in progress is stopped, by `time.monotonic`."""

    def drain(self, seconds: float) -> None:
        """Readiness fails from now on, and what is in progress has so many seconds to end."""
        self.draining, self.ends_at = True, monotonic() + seconds

    def left(self) -> float:
        """Seconds that what is in progress still has."""
        return max(0.0, self.ends_at - monotonic())
