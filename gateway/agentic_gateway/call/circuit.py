"""Circuit breakers: a ModelProvider that keeps failing is not called for a while. Pure; `upstream` reports to it."""

from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

MAX_CIRCUITS: Final = 10_000
"""Circuits kept; beyond it the least recently used one is evicted, which closes it."""

ProviderId = tuple[str, str, str]
"""A ModelProvider: the uid of its Tenant, its namespace and name."""


@dataclass
class Circuit:
    """The state of one provider as seen by this process."""

    failures: int = 0
    reason: str = ""
    """What went wrong last."""
    opened_at: float | None = None
    probing: bool = False

    def state(self) -> str:
        """closed, open, or half_open while a probe is on its way."""
        if self.opened_at is None:
            return "closed"
        return "half_open" if self.probing else "open"


class Circuits:
    """All circuits of this process."""

    def __init__(self, *, failures: int, seconds: float, max_circuits: int = MAX_CIRCUITS) -> None:
        self._failures = failures
        self._seconds = seconds
        self._circuits: LRUCache[ProviderId, Circuit] = LRUCache(max_circuits)

    def admits(self, key: ProviderId, now: float) -> bool:
        """Whether a request may be sent; when the time of an open circuit is over, exactly one may, as a probe."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.opened_at is None:
            return True
        if circuit.probing or now < circuit.opened_at + self._seconds:
            return False
        circuit.probing = True
        return True

    def retry_after(self, key: ProviderId, now: float) -> float:
        """Seconds until the next probe."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.opened_at is None:
            return 0
        return max(0.0, circuit.opened_at + self._seconds - now)

    def succeeded(self, key: ProviderId) -> None:
        """The provider responded: its circuit closes."""
        self._circuits.pop(key, None)

    def reason(self, key: ProviderId) -> str:
        """The last failure."""
        circuit = self._circuits.get(key)
        return circuit.reason if circuit else ""

    def failed(self, key: ProviderId, now: float, reason: str) -> None:
        """The provider failed; enough of that in a row, or a failed probe, opens its circuit."""
        circuit = self._circuits.setdefault(key, Circuit())
        circuit.failures += 1
        circuit.reason = reason
        if circuit.probing or circuit.failures >= self._failures:
            circuit.opened_at = now
        circuit.probing = False

    def abandoned(self, key: ProviderId) -> None:
        """The request ended without a result of the provider: a probe may be sent again."""
        circuit = self._circuits.get(key)
        if circuit is not None:
            circuit.probing = False

    def states(self) -> dict[str, int]:
        """How many circuits are in each state other than closed."""
        counts = {"open": 0, "half_open": 0}
        for circuit in self._circuits.values():
            if circuit.opened_at is not None:
                counts[circuit.state()] += 1
        return counts
