"""A clock that tests move by hand."""

from datetime import UTC, datetime

from agentic_core.clock import Clock


class StoppedClock(Clock):
    """Stands still until the test sets `at`, in seconds."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)
