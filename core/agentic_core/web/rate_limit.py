"""A flat request rate per caller, kept in the process. The api's auth dependency calls it for every request."""

from dataclasses import dataclass

from agentic_core.clock import Clock

MAX_TRACKED = 20_000


@dataclass(frozen=True)
class Decision:
    """Whether a request may go on, and what the response says of it."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    """Seconds until the whole allowance is back."""
    retry_after: float
    """Seconds until a refused request may be tried again."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The RateLimit headers of the response."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % (self.reset + 0.999)),
        ]


class RateLimiter:
    """A token bucket per caller by the generic cell rate algorithm: one number a caller, no timer."""

    def __init__(self, *, per_minute: int, clock: Clock) -> None:
        self._limit = per_minute
        self._interval = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._full_at: dict[str, float] = {}
        """When the bucket of a caller is full again."""

    def take(self, subject: str) -> Decision | None:
        """Count one request of this caller; None when there is no limit."""
        if not self._limit:
            return None
        now = self._clock.monotonic()
        full_at = max(self._full_at.get(subject, now), now) + self._interval
        excess = full_at - now - 60
        if excess > self._interval * 1e-6:
            return Decision(False, self._limit, 0, full_at - self._interval - now, excess)
        self._full_at[subject] = full_at
        if len(self._full_at) > MAX_TRACKED:
            self._forget_full(now)
        return Decision(True, self._limit, int((60 - (full_at - now)) / self._interval + 1e-6), full_at - now, 0)

    def _forget_full(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
