"""The time, as a port: whatever expires or refills reads it here, so that tests need not wait."""

import time
from datetime import UTC, datetime


class Clock:
    """The system's clock."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    def now(self) -> datetime:
        """The date and time in UTC."""
        return datetime.now(UTC)
