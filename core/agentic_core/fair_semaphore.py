"""A weighted semaphore that is fair between tenants: what does not fit waits for a bounded time, then is refused.

Permits are bytes of what a tenant sent or reads, for as long as they are in memory, or lookups and probes in progress.
Unlike `web.shares.Shares`, which refuses at once, it queues. Pure asyncio in the process: without contention it costs
some additions.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

TenantT = TypeVar("TenantT", bound=Hashable)


class Exhausted(Exception):
    """The permits did not become free in time."""


@dataclass(frozen=True, eq=False)
class _Waiter:
    weight: int
    granted: asyncio.Future[None]


class FairSemaphore(Generic[TenantT]):
    """Permits of a process: `capacity` in all, at most `per_tenant` for each tenant.

    Invariants:
    - The permits held by all tenants never exceed `capacity`, those of one tenant never `per_tenant`.
    - A waiter is granted its permits by the one who frees them, without an await in between, so none overtakes it
      within its tenant. Between tenants the one that holds least comes first; those that hold as much take turns.
    - Every permit granted is released exactly once, whether its holder ends, fails, or is cancelled while waiting.
    """

    def __init__(self, capacity: int, *, per_tenant: int) -> None:
        if per_tenant > capacity:
            raise ValueError(f"a tenant may hold {per_tenant} of {capacity} permits")
        self._capacity = capacity
        self._per_tenant = per_tenant
        self._total = 0
        self._held: dict[TenantT, int] = {}
        self._waiting: dict[TenantT, deque[_Waiter]] = {}

    @property
    def total(self) -> int:
        """Permits held by all."""
        return self._total

    def held(self, tenant: TenantT) -> int:
        """Permits held by the tenant."""
        return self._held.get(tenant, 0)

    @asynccontextmanager
    async def hold(self, tenant: TenantT, weight: int, *, seconds: float | None) -> AsyncGenerator[None]:
        """Hold that many permits inside the block, after at most `seconds` of waiting; None waits for ever.

        Raises `Exhausted` when they were not free by then, or are more than a tenant may hold.
        """
        await self.acquire(tenant, weight, seconds=seconds)
        try:
            yield
        finally:
            self.release(tenant, weight)

    async def acquire(self, tenant: TenantT, weight: int, *, seconds: float | None) -> None:
        """Take permits that are given back with `release`; see `hold`."""
        if weight > self._per_tenant:
            raise Exhausted
        if self.take(tenant, weight):
            return
        if seconds is not None and seconds <= 0:
            raise Exhausted
        await self._wait(tenant, weight, seconds)

    def take(self, tenant: TenantT, weight: int) -> bool:
        """Take permits that are given back with `release`, if they are free now and the tenant has no waiters."""
        if tenant in self._waiting or not self._fits(tenant, weight):
            return False
        self._grant(tenant, weight)
        return True

    def release(self, tenant: TenantT, weight: int) -> None:
        """Give permits back."""
        self._total -= weight
        self._held[tenant] -= weight
        if not self._held[tenant]:
            del self._held[tenant]
        self._grant_waiters()

    async def _wait(self, tenant: TenantT, weight: int, seconds: float | None) -> None:
        waiter = _Waiter(weight, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(tenant, deque()).append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter.granted
        except BaseException as error:
            self._abandon(tenant, waiter)
            if isinstance(error, TimeoutError):
                raise Exhausted from None
            raise

    def _abandon(self, tenant: TenantT, waiter: _Waiter) -> None:
        if waiter in self._waiting.get(tenant, ()):
            self._leave(tenant, waiter)
            self._grant_waiters()
        elif not waiter.granted.cancelled():  # granted in the moment in which it gave up
            self.release(tenant, waiter.weight)

    def _leave(self, tenant: TenantT, waiter: _Waiter) -> None:
        queue = self._waiting[tenant]
        queue.remove(waiter)
        if not queue:
            del self._waiting[tenant]

    def _fits(self, tenant: TenantT, weight: int) -> bool:
        return self.held(tenant) + weight <= self._per_tenant and self._total + weight <= self._capacity

    def _grant(self, tenant: TenantT, weight: int) -> None:
        self._total += weight
        self._held[tenant] = self.held(tenant) + weight

    def _grant_waiters(self) -> None:
        """Grant the first waiters of tenants while they fit, those of the tenant that holds least before others."""
        while True:
            fitting = [tenant for tenant, queue in self._waiting.items() if self._fits(tenant, queue[0].weight)]
            if not fitting:
                return
            tenant = min(fitting, key=self.held)
            waiter = self._waiting[tenant][0]
            self._leave(tenant, waiter)
            if tenant in self._waiting:
                self._waiting[tenant] = self._waiting.pop(tenant)  # behind all others
            if not waiter.granted.cancelled():
                self._grant(tenant, waiter.weight)
                waiter.granted.set_result(None)
