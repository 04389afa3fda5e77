"""How what a process has is shared between tenants; runs, those who follow them, and large answers are bounded by it.

Pure counting in the process: it costs no round trip. Several replicas together hold that many times as much.
"""

from uuid import UUID


class Shares:
    """How much of one thing each tenant holds.

    A tenant may hold `each`; once all hold more than `most` together, only what `most` divided by their number gives.
    So nobody waits for a tenant that holds more than its part, and together they never hold twice `most`.
    """

    def __init__(self, most: int, *, each: int) -> None:
        self._most = most
        self._each = each
        self._total = 0
        self._held: dict[UUID, int] = {}

    def held(self, tenant_id: UUID) -> int:
        """What the tenant holds."""
        return self._held.get(tenant_id, 0)

    def take(self, tenant_id: UUID, amount: int = 1) -> bool:
        """Take all of the amount, or nothing."""
        held = self.held(tenant_id) + amount
        tenants = len(self._held) + (tenant_id not in self._held)
        if held > self._each or (self._total + amount > self._most and held * tenants > self._most):
            return False
        self._held[tenant_id] = held
        self._total += amount
        return True

    def give(self, tenant_id: UUID, amount: int = 1) -> None:
        """Give back what was taken."""
        self._total -= amount
        self._held[tenant_id] -= amount
        if not self._held[tenant_id]:
            del self._held[tenant_id]
