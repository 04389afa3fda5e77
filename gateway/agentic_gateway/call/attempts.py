"""Which backend is tried next and when: retries, backoff, fallbacks. Pure; `upstream` asks for each step.

A backend that failed is tried again after a growing, random pause. One that is rate limited goes to the end of the
line, so that the next backend answers instead. What a provider asks for in Retry-After is honoured.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from agentic_gateway.route.routing import Backend

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0
RETRYABLE: Final = frozenset({408, 409, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which the same request may succeed; 529 is Anthropic's word for overloaded."""

LONGEST_WAIT: Final = 30.0
"""A backend that asks for more patience than this is not waited for; the caller is told to come back."""

Cause = Literal["rate_limited", "failed", "unreachable", "disconnected", "timeout", "forbidden", "open", "cancelled"]
AGAIN: Final[frozenset[Cause]] = frozenset({"rate_limited", "failed", "unreachable", "disconnected", "timeout"})
"""Causes after which the same backend may be tried again."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt gave no answer."""

    cause: Cause
    detail: str
    """For logs and for the caller: no key, no text of the provider."""
    retry_after: float | None = None
    spent: bool = False
    """Whether the model may have worked for it all the same: it had the whole request and did not refuse it."""

    @property
    def retryable(self) -> bool:
        """Whether the same backend may be tried again."""
        patient = (self.retry_after or 0) <= LONGEST_WAIT
        return patient and self.cause in AGAIN


@dataclass
class Attempt:
    """A backend in line."""

    backend: Backend
    left: int
    ready_at: float = 0.0
    tried: int = 0


class Plan:
    """The line of backends for one request."""

    def __init__(self, backends: Sequence[Backend], *, attempts: int, jitter: random.Random) -> None:
        self._line = [Attempt(backend, attempts) for backend in backends]
        self._jitter = jitter
        self.failures: list[tuple[Backend, Failure]] = []
        """What went wrong so far, in order."""

    def next(self) -> Attempt | None:
        """The attempt that is first in line, not to be started before its `ready_at`; None when all are used up."""
        return self._line[0] if self._line else None

    def failed(self, attempt: Attempt, failure: Failure, now: float) -> None:
        """Put the backend where it belongs after a failure."""
        self.failures.append((attempt.backend, failure))
        attempt.left -= 1
        attempt.tried += 1
        if attempt.left <= 0 or not failure.retryable:
            self._line.remove(attempt)
            return
        attempt.ready_at = now + self._pause(attempt.tried, failure)
        if failure.cause == "rate_limited" or failure.retry_after is not None:
            self._line.remove(attempt)
            self._line.append(attempt)

    def _pause(self, tried: int, failure: Failure) -> float:
        if tried == 1 and failure.cause == "disconnected":
            return 0.0  # a kept connection that the provider has given up in the meantime
        ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tried - 1))
        pause = ceiling * (0.5 + self._jitter.random() / 2)
        return pause if failure.retry_after is None else max(pause, failure.retry_after)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for: a number, or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
