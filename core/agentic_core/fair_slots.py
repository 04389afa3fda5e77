"""Slots that tenants wait for: how many lookups or probes a process runs at a time, and whose are next.

Unlike `web.shares.Shares` it makes callers wait instead of refusing them.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class _Tenant:
    slots: asyncio.Semaphore
    callers: int = 0
    """Callers that hold one of the slots or wait for one."""


class FairSlots:
    """Each tenant may hold up to `per_tenant` slots, all tenants together up to `total`.

    What a tenant requests beyond its limit waits apart from the queue of all, so a caller there has at most
    `per_tenant` callers of each other tenant before it.

    Invariants: between `acquire` and `release` a caller holds one slot of its tenant and one of all; a cancelled
    `acquire` holds none; a tenant without callers is forgotten.
    """

    def __init__(self, total: int, *, per_tenant: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._per_tenant = per_tenant
        self._tenants: dict[str, _Tenant] = {}

    async def acquire(self, tenant: str) -> None:
        """Wait for a slot; `release` it, from wherever."""
        own = self._tenants.setdefault(tenant, _Tenant(asyncio.Semaphore(self._per_tenant)))
        own.callers += 1
        try:
            await own.slots.acquire()
            try:
                await self._all.acquire()
            except BaseException:
                own.slots.release()
                raise
        except BaseException:
            self._leave(tenant, own)
            raise

    def release(self, tenant: str) -> None:
        """Free a slot of the tenant."""
        own = self._tenants[tenant]
        self._all.release()
        own.slots.release()
        self._leave(tenant, own)

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncGenerator[None]:
        """Hold a slot inside the block."""
        await self.acquire(tenant)
        try:
            yield
        finally:
            self.release(tenant)

    def _leave(self, tenant: str, own: _Tenant) -> None:
        own.callers -= 1
        if not own.callers:
            del self._tenants[tenant]
