"""Circuit breakers: a backend that keeps failing is left alone for a while. Pure; `attempts` asks and reports."""

from collections import OrderedDict
from dataclasses import dataclass

MOST_CIRCUITS = 10_000
"""Circuits kept; beyond it the one not used for longest is forgotten, which closes it."""

Key = tuple[str, str, str]
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

    def __init__(self, *, failures: int, seconds: float) -> None:
        self._failures = failures
        self._seconds = seconds
        self._circuits: OrderedDict[Key, Circuit] = OrderedDict()

    def admits(self, key: Key, now: float) -> bool:
        """Whether a request may be sent; when the time of an open circuit is over, exactly one may, as a probe."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.opened_at is None:
            return True
        if circuit.probing or now < circuit.opened_at + self._seconds:
            return False
        circuit.probing = True
        return True

    def retry_after(self, key: Key, now: float) -> float:
        """Seconds until the next probe."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.opened_at is None:
            return 0
        return max(0.0, circuit.opened_at + self._seconds - now)

    def succeeded(self, key: Key) -> None:
        """The provider answered: its circuit closes."""
        self._circuits.pop(key, None)

    def reason(self, key: Key) -> str:
        """What went wrong last."""
        circuit = self._circuits.get(key)
        return circuit.reason if circuit else ""

    def failed(self, key: Key, now: float, reason: str) -> None:
        """The provider failed; enough of that in a row, or a failed probe, opens its circuit."""
        circuit = self._circuits.setdefault(key, Circuit())
        self._circuits.move_to_end(key)
        circuit.failures += 1
        circuit.reason = reason
        if circuit.probing or circuit.failures >= self._failures:
            circuit.opened_at = now
        circuit.probing = False
        while len(self._circuits) > MOST_CIRCUITS:
            self._circuits.popitem(last=False)

    def abandoned(self, key: Key) -> None:
        """The request ended without saying anything about the provider: a probe may be sent again."""
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
