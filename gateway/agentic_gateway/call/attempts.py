"""Which backend is tried next and when: retries, backoff, fallbacks. Pure; `upstream` calls it for each step.

A backend that failed is retried after a growing, random pause. One that is rate limited goes to the end of the queue,
so that the next backend responds instead. What a provider requests in Retry-After is honoured.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from agentic_core.backoff import Backoff
from agentic_gateway.route.routing import Backend

PAUSES: Final = Backoff(first=0.1875, longest=6.0, jitter=1 / 3)
"""From half to all of 0.25 s, doubling up to 8 s."""
RETRYABLE_STATUSES: Final = frozenset({408, 409, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which the same request may succeed; 529 is Anthropic's status for overloaded."""

MAX_WAIT: Final = 30.0
"""A backend that requests a longer wait is not waited for; the caller gets a Retry-After instead."""

LONGEST_RETRY_AFTER: Final = 86_400.0
"""Seconds; a Retry-After header that says more is taken for a day."""
SECONDS: Final = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", re.ASCII)

Cause = Literal["rate_limited", "failed", "unreachable", "disconnected", "timeout", "forbidden", "open", "cancelled"]
RETRYABLE_CAUSES: Final[frozenset[Cause]] = frozenset(
    {"rate_limited", "failed", "unreachable", "disconnected", "timeout"}
)
"""Causes after which the same backend may be retried."""


@dataclass(frozen=True)
class AttemptFailure:
    """Why an attempt gave no response."""

    cause: Cause
    detail: str
    """For logs and for the caller: no key, no text of the provider."""
    retry_after: float | None = None
    spent: bool = False
    """Whether the model may have worked for it all the same: it had the whole request and did not refuse it."""

    @property
    def retryable(self) -> bool:
        """Whether the same backend may be tried again."""
        return (self.retry_after or 0) <= MAX_WAIT and self.cause in RETRYABLE_CAUSES


@dataclass
class Attempt:
    """A queued backend."""

    backend: Backend
    left: int
    ready_at: float = 0.0
    tried: int = 0


class Plan:
    """The queue of backends for one request."""

    def __init__(self, backends: Sequence[Backend], *, attempts: int, jitter: random.Random) -> None:
        self._queue = [Attempt(backend, attempts) for backend in backends]
        self._jitter = jitter
        self.failures: list[tuple[Backend, AttemptFailure]] = []
        """What went wrong so far, in order."""

    def next(self) -> Attempt | None:
        """The first attempt in the queue, not to be started before its `ready_at`; None when all are used up."""
        return self._queue[0] if self._queue else None

    def failed(self, attempt: Attempt, failure: AttemptFailure, now: float) -> None:
        """Put the backend where it belongs after a failure."""
        self.failures.append((attempt.backend, failure))
        attempt.left -= 1
        attempt.tried += 1
        if attempt.left <= 0 or not failure.retryable:
            self._queue.remove(attempt)
            return
        attempt.ready_at = now + self._pause(attempt.tried, failure)
        if failure.cause == "rate_limited" or failure.retry_after is not None:
            self._queue.remove(attempt)
            self._queue.append(attempt)

    def _pause(self, tried: int, failure: AttemptFailure) -> float:
        if tried == 1 and failure.cause == "disconnected":
            return 0.0  # a kept connection that the provider has given up in the meantime
        pause = PAUSES.pause(tried, rng=self._jitter)
        return pause if failure.retry_after is None else max(pause, failure.retry_after)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """The seconds of a Retry-After header, a number or a date; None for what is neither, such as `inf`.

    At most `LONGEST_RETRY_AFTER`: providers choose it, and callers get it in turn.
    """
    if not value:
        return None
    if SECONDS.fullmatch(value):
        return min(max(0.0, float(value)), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(value)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)
