"""How tenants share one resource of a process, such as runs in progress, followers, or bytes in memory.

Pure counting in the process: it costs no round trip. Several replicas together hold that many times as much. What does
not fit is refused at once; `agentic_core.fair_semaphore` is for what may wait.
"""

from uuid import UUID


class Shares:
    """How much of a resource each tenant holds.

    Each tenant may hold up to `per_tenant`. When the total exceeds `capacity`, each is limited to an equal share of it.
    So a tenant that comes late finds room. The total never exceeds twice the capacity: where several came one after the
    other and took what there was, the next waits until one of them has given something back.

    Invariant: `take` and `give` neither await nor raise in between, so the total is the sum of what is held.
    """

    def __init__(self, capacity: int, *, per_tenant: int) -> None:
        self._capacity = capacity
        self._per_tenant = per_tenant
        self._total = 0
        self._held: dict[UUID, int] = {}

    def held(self, tenant_id: UUID) -> int:
        """What the tenant holds."""
        return self._held.get(tenant_id, 0)

    def take(self, tenant_id: UUID, amount: int = 1) -> bool:
        """Take all of the amount, or nothing; whether it was taken."""
        held = self.held(tenant_id) + amount
        tenants = len(self._held) + (tenant_id not in self._held)
        over_capacity = self._total + amount > self._capacity
        full = self._total + amount > 2 * self._capacity
        if held > self._per_tenant or full or (over_capacity and held * tenants > self._capacity):
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
