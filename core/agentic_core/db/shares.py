"""How the reads of tenants share the connections of a process, and how long statements may take; `Database` applies it.

Reads are what tenants send in numbers, and what takes long when there is much to read. So a tenant holds a few
connections at most for its reads, and they are given up sooner than writes.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from agentic_core.errors import RateLimited, Unavailable
from agentic_core.fair_semaphore import Exhausted, FairSemaphore

WAIT_SECONDS = 10.0
"""How long a read waits for its tenant's earlier ones."""
KEPT_CONNECTIONS = 2
"""Connections that reads leave to runs, even those of all tenants together."""


@dataclass(frozen=True)
class StatementTimeouts:
    """Seconds that a statement may take in the database, by what it is for.

    All are below the driver's own limit, which is about databases that do not respond.
    """

    read: float = 5.0
    """Of reads for clients."""
    write: float = 20.0
    """Of all other transactions of a tenant."""
    background: float = 25.0
    """Of what spans tenants, such as deletion and retention."""


class TooManyReads(RateLimited):
    """The tenant's reads wait too long for one another."""

    code, title = "too_many_reads", "Too many reads"


class ReadTooSlow(Unavailable):
    """A read took longer than the database permits."""

    code, title = "read_too_slow", "Read too slow"


class ReadShares:
    """The connections that reads may hold: some in all, and at most `per_tenant` for each tenant.

    A read takes its connection after its permit and gives it back before, so that no connection waits for a permit.
    """

    def __init__(self, connections: int, *, per_tenant: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        capacity = max(1, connections - KEPT_CONNECTIONS)
        self._permits = FairSemaphore[UUID](capacity, per_tenant=min(per_tenant, capacity))

    @asynccontextmanager
    async def hold(self, tenant_id: UUID) -> AsyncGenerator[None]:
        """One of the tenant's permits inside the block; raises `TooManyReads` when none becomes free in time."""
        try:
            await self._permits.acquire(tenant_id, 1, seconds=self._wait_seconds)
        except Exhausted:
            raise TooManyReads(
                "This tenant's reads on this replica wait for one another for too long. Send fewer at once.",
                retry_after=self._wait_seconds,
            ) from None
        try:
            yield
        finally:
            self._permits.release(tenant_id, 1)
