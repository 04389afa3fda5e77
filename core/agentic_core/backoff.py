"""How long to wait before a retry: exponential backoff with jitter, computed the same way everywhere.

Loops that retry call `pause`; where a decision is pure, the random generator is passed in.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Pauses in seconds that double with each failure."""

    first: float
    """Pause after the first failure, before jitter."""
    longest: float
    """Upper bound of a pause, before jitter."""
    jitter: float = 0.25
    """By how much a pause varies, as a fraction of it in both directions: callers that failed together must not retry
    together."""

    def pause(self, failures: int, *, rng: random.Random | None = None) -> float:
        """Seconds to wait after so many consecutive failures, counted from 1."""
        doublings = min(max(failures - 1, 0), 62)  # beyond it every pause is the longest, and floats overflow
        pause = min(self.longest, self.first * 2.0**doublings)
        uniform = rng.uniform if rng else random.uniform
        return pause * uniform(1 - self.jitter, 1 + self.jitter)
