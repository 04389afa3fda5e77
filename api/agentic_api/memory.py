"""The memory that a tenant's requests take in this process: from before a body is read until the response is sent.

The auth dependency takes it, the route shrinks it to the response, streams hold what they send. A client that does not
read its responses uses the share of its own tenant, and of no other.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from agentic_core.errors import RateLimited
from agentic_core.fair_semaphore import Exhausted, FairSemaphore

HANDLING_BYTES: Final = 8 * 1024 * 1024
"""What a request takes while it is handled, besides its body: a page of rows, as objects and as a response."""
BODY_COPIES: Final = 3
"""A body is held as bytes, as a JSON value and as models."""
WAIT_SECONDS: Final = 10.0
"""How long a request waits for memory before it is refused."""
STREAM_SECONDS: Final = 60.0
"""How long a stream waits for memory for its next events before it ends, to be resumed by its client."""


class TooMuchInMemory(RateLimited):
    """The tenant's requests use its share of the replica's memory."""

    code, title = "too_much_in_memory", "Too many requests in memory"


class RequestMemory:
    """The memory of all requests."""

    def __init__(self, capacity: int) -> None:
        """`capacity` in bytes; a tenant may use half of it."""
        self._per_tenant = capacity // 2
        self._semaphore = FairSemaphore[UUID](capacity, per_tenant=self._per_tenant)

    async def take(self, tenant_id: UUID, amount: int) -> "HeldBytes":
        """Memory for a request, at most all that a tenant may use. Raises `TooMuchInMemory`."""
        amount = min(amount, self._per_tenant)
        try:
            await self._semaphore.acquire(tenant_id, amount, seconds=WAIT_SECONDS)
        except Exhausted:
            raise TooMuchInMemory(
                "Your tenant's requests, and responses that have not been read, use its share of this replica's memory;"
                " read or close them and try again.",
                retry_after=WAIT_SECONDS,
            ) from None
        return HeldBytes(self._semaphore, tenant_id, amount)

    @asynccontextmanager
    async def sending(self, tenant_id: UUID, amount: int) -> AsyncGenerator[bool]:
        """Memory for a part of a stream inside the block; False when there was none for a long time."""
        amount = min(amount, self._per_tenant)
        try:
            await self._semaphore.acquire(tenant_id, amount, seconds=STREAM_SECONDS)
        except Exhausted:
            yield False
            return
        try:
            yield True
        finally:
            self._semaphore.release(tenant_id, amount)


class HeldBytes:
    """The memory of one request."""

    def __init__(self, semaphore: FairSemaphore[UUID], tenant_id: UUID, amount: int) -> None:
        self._semaphore = semaphore
        self._tenant_id = tenant_id
        self._amount = amount

    def shrink(self, amount: int) -> None:
        """Hold no more than this any longer."""
        if amount < self._amount:
            self._semaphore.release(self._tenant_id, self._amount - amount)
            self._amount = amount

    def grow(self, amount: int) -> bool:
        """Hold as much as this, if that is possible without waiting."""
        more = amount - self._amount
        if more > 0:
            if not self._semaphore.take(self._tenant_id, more):
                return False
            self._amount = amount
        return True

    def free(self) -> None:
        """The request is over."""
        self.shrink(0)
