"""What calls take of this process, in shares of tenants: calls in progress, bytes of requests, bytes of responses.

The flow takes each before what it is for exists: a call before its body is read, memory before it is filled. A call for
which a slot, or the bytes of its request, do not become free in time is refused with 429, and nothing was done. One for
whose response there are none ends with 503, which clients do not repeat by themselves: the provider has responded.

Invariants:
- Nothing is released before what it stands for is gone, and everything is released once.
- Requests wait only for requests, and responses, whose calls hold requests, only for responses.
- Large JSON is parsed one at a time in a thread, fairly between tenants: parsed, it takes many times its bytes.
"""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from agentic_core.errors import PlatformError, RateLimited, Unavailable
from agentic_core.fair_semaphore import Exhausted, FairSemaphore
from agentic_core.tasks import in_thread
from agentic_core.web.shares import Shares

SMALL_BYTES: Final = 64 * 1024
"""Requests, responses and events of this size or less are a part of their call's slot."""
PARSED_ON_LOOP: Final = 256 * 1024
"""JSON up to this size takes less to parse than a thread is worth."""
GROWTH: Final = 4
"""How many times the memory for a response grows when it is used up."""
RETRY_SECONDS: Final = 2.0
PARSER_SECONDS: Final = 60.0
"""How long a call waits to be parsed: what is parsed before it takes moments."""

IN_PROGRESS: Final = "has calls in progress that take its share of memory"
UNREAD: Final = "those that have not been read take its share of memory"

Result = TypeVar("Result")
Refusal = Callable[[], PlatformError]


class ResponseNotHeld(Unavailable):
    """The provider has responded, and the tenant's share of this replica has no memory for it."""

    code, title = "response_not_held", "No memory for the response"


class GatewayBusy(RateLimited):
    """The tenant's calls take its share of this replica."""

    code, title = "gateway_busy", "Too many or too large calls at once"


@dataclass(frozen=True)
class ShareLimits:
    """What all calls may take, and those of one tenant."""

    calls: int
    calls_per_tenant: int
    request_bytes: int
    request_bytes_per_tenant: int
    response_bytes: int
    response_bytes_per_tenant: int
    wait_seconds: float
    """How long a call waits for bytes."""


class CallShares:
    """The shares of one process."""

    def __init__(self, limits: ShareLimits) -> None:
        self._wait_seconds = limits.wait_seconds
        self._calls = Shares(limits.calls, per_tenant=limits.calls_per_tenant)
        self._requests = FairSemaphore[UUID](limits.request_bytes, per_tenant=limits.request_bytes_per_tenant)
        self._responses = FairSemaphore[UUID](limits.response_bytes, per_tenant=limits.response_bytes_per_tenant)
        self._parsers = FairSemaphore[UUID](1, per_tenant=1)

    def held_bytes(self) -> dict[str, int]:
        """What is held now, for metrics."""
        return {"request": self._requests.total, "response": self._responses.total}

    @contextmanager
    def call(self, tenant_id: UUID) -> Generator[None]:
        """A call in progress, inside the block."""
        if not self._calls.take(tenant_id):
            raise _busy("has as many calls in progress as it may have")
        try:
            yield
        finally:
            self._calls.give(tenant_id)

    @asynccontextmanager
    async def memory(self, tenant_id: UUID, request_bytes: int) -> AsyncGenerator["CallMemory"]:
        """The memory of a call whose request has so many bytes at most, inside the block."""
        memory = CallMemory(self._requests, self._responses, self._parsers, tenant_id, self._wait_seconds)
        try:
            await memory.hold_request(request_bytes)
            yield memory
        finally:
            memory.release()


class CallMemory:
    """What one call holds."""

    def __init__(
        self,
        requests: FairSemaphore[UUID],
        responses: FairSemaphore[UUID],
        parsers: FairSemaphore[UUID],
        tenant_id: UUID,
        wait_seconds: float,
    ) -> None:
        self._requests = requests
        self._responses = responses
        self._parsers = parsers
        self._tenant_id = tenant_id
        self._wait_seconds = wait_seconds
        self._request = 0
        self._response = 0

    async def hold_request(self, size: int) -> None:
        """Hold a request of at most so many bytes, before it is read."""
        if size > SMALL_BYTES:
            await self._acquire(self._requests, size, partial(_busy, IN_PROGRESS))
            self._request = size

    def request_read(self, size: int) -> None:
        """The request has fewer bytes than it might have had."""
        excess = max(0, self._request - size)
        if excess:
            self._request -= excess
            self._requests.release(self._tenant_id, excess)

    async def hold_response(self, size: int, *, max_bytes: int) -> None:
        """Hold so many bytes of the response, or more, up to the end of the call."""
        if size <= max(SMALL_BYTES, self._response):
            return
        wanted = SMALL_BYTES
        while wanted < size:
            wanted *= GROWTH
        wanted = max(size, min(wanted, max_bytes))
        await self._acquire(self._responses, wanted - self._response, partial(_not_held, UNREAD))
        self._response = wanted

    async def parse_request(self, function: Callable[[], Result], size: int) -> Result:
        """The result of a function that parses a request of so many bytes: off the event loop if they are many."""
        return await self._parse(function, size, partial(_busy, "has calls in progress that are parsed first"))

    async def parse_response(self, function: Callable[[], Result], size: int) -> Result:
        """The same for a response."""
        return await self._parse(function, size, partial(_not_held, "others are parsed first"))

    async def _parse(self, function: Callable[[], Result], size: int, refusal: Refusal) -> Result:
        if size <= PARSED_ON_LOOP:
            return function()
        await self._acquire(self._parsers, 1, refusal, seconds=PARSER_SECONDS)
        try:
            return await in_thread(function)
        finally:
            self._parsers.release(self._tenant_id, 1)

    def release(self) -> None:
        """Give all back."""
        for semaphore, held in ((self._requests, self._request), (self._responses, self._response)):
            if held:
                semaphore.release(self._tenant_id, held)
        self._request = self._response = 0

    async def _acquire(
        self, semaphore: FairSemaphore[UUID], weight: int, refusal: Refusal, *, seconds: float | None = None
    ) -> None:
        try:
            await semaphore.acquire(self._tenant_id, weight, seconds=self._wait_seconds if seconds is None else seconds)
        except Exhausted:
            raise refusal() from None


def _not_held(why: str) -> ResponseNotHeld:
    error = ResponseNotHeld(
        f"The provider has responded, and its response was dropped: of the tenant's responses at this replica, {why}."
    )
    error.headers["x-should-retry"] = "false"
    return error


def _busy(why: str) -> GatewayBusy:
    return GatewayBusy(f"The tenant {why} of this replica of the gateway; try again.", retry_after=RETRY_SECONDS)
