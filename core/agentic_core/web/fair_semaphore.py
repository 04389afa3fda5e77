"""A weighted semaphore that is fair between tenants: what does not fit waits for a bounded time, then is refused.

Programs hold permits, usually bytes, for as long as what a tenant sent or reads is in memory. Unlike `shares.Shares`,
which refuses at once, it queues. Pure asyncio in the process: without contention it costs some additions.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID


class Exhausted(Exception):
    """The permits did not become free in time."""


@dataclass(frozen=True, eq=False)
class _Waiter:
    weight: int
    granted: asyncio.Future[None]


class FairSemaphore:
    """Permits of a process: `capacity` in all, at most `per_tenant` for each tenant.

    Invariants:
    - The permits held by all tenants never exceed `capacity`, those of one tenant never `per_tenant`.
    - A waiter is granted its permits by the one who frees them, without an await in between, so none overtakes it
      within its tenant. Between tenants the one that holds least comes first.
    - Every permit granted is released exactly once, whether its holder ends, fails, or is cancelled while waiting.
    """

    def __init__(self, capacity: int, *, per_tenant: int) -> None:
        if per_tenant > capacity:
            raise ValueError(f"a tenant may hold {per_tenant} of {capacity} permits")
        self._capacity = capacity
        self._per_tenant = per_tenant
        self._total = 0
        self._held: dict[UUID, int] = {}
        self._waiting: dict[UUID, deque[_Waiter]] = {}

    @property
    def total(self) -> int:
        """Permits held by all."""
        return self._total

    def held(self, tenant_id: UUID) -> int:
        """Permits held by the tenant."""
        return self._held.get(tenant_id, 0)

    @asynccontextmanager
    async def hold(self, tenant_id: UUID, weight: int, *, seconds: float) -> AsyncGenerator[None]:
        """Hold that many permits inside the block, after at most `seconds` of waiting.

        Raises `Exhausted` when they were not free by then, or are more than a tenant may hold.
        """
        await self.acquire(tenant_id, weight, seconds=seconds)
        try:
            yield
        finally:
            self.release(tenant_id, weight)

    async def acquire(self, tenant_id: UUID, weight: int, *, seconds: float) -> None:
        """Take permits that are given back with `release`; see `hold`."""
        if weight > self._per_tenant:
            raise Exhausted
        if self.take(tenant_id, weight):
            return
        if seconds <= 0:
            raise Exhausted
        await self._wait(tenant_id, weight, seconds)

    def take(self, tenant_id: UUID, weight: int) -> bool:
        """Take permits that are given back with `release`, if they are free now and the tenant has no waiters."""
        if tenant_id in self._waiting or not self._fits(tenant_id, weight):
            return False
        self._grant(tenant_id, weight)
        return True

    def release(self, tenant_id: UUID, weight: int) -> None:
        """Give permits back."""
        self._total -= weight
        self._held[tenant_id] -= weight
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        self._grant_waiters()

    async def _wait(self, tenant_id: UUID, weight: int, seconds: float) -> None:
        waiter = _Waiter(weight, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(tenant_id, deque()).append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter.granted
        except BaseException as error:
            self._abandon(tenant_id, waiter)
            if isinstance(error, TimeoutError):
                raise Exhausted from None
            raise

    def _abandon(self, tenant_id: UUID, waiter: _Waiter) -> None:
        if waiter in self._waiting.get(tenant_id, ()):
            self._leave(tenant_id, waiter)
            self._grant_waiters()
        elif not waiter.granted.cancelled():  # granted in the moment in which it gave up
            self.release(tenant_id, waiter.weight)

    def _leave(self, tenant_id: UUID, waiter: _Waiter) -> None:
        queue = self._waiting[tenant_id]
        queue.remove(waiter)
        if not queue:
            del self._waiting[tenant_id]

    def _fits(self, tenant_id: UUID, weight: int) -> bool:
        return self.held(tenant_id) + weight <= self._per_tenant and self._total + weight <= self._capacity

    def _grant(self, tenant_id: UUID, weight: int) -> None:
        self._total += weight
        self._held[tenant_id] = self.held(tenant_id) + weight

    def _grant_waiters(self) -> None:
        """Grant the first waiters of tenants while they fit, those of the tenant that holds least before others."""
        while True:
            fitting = [tenant for tenant, queue in self._waiting.items() if self._fits(tenant, queue[0].weight)]
            if not fitting:
                return
            tenant = min(fitting, key=self.held)
            waiter = self._waiting[tenant][0]
            self._leave(tenant, waiter)
            if not waiter.granted.cancelled():
                self._grant(tenant, waiter.weight)
                waiter.granted.set_result(None)
