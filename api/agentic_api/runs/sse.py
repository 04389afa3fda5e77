"""Runs as server-sent events: `run.started`, the runtime's events, `run.finished`; endpoints respond with it.

Number 0 is the start and the number after the last event is the end, so that `Last-Event-ID` says all of what a client
has seen. The end has the run, or its summary when the run is too large for one response.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from uuid import UUID

from agentic_api.identity.principal import Principal
from agentic_api.memory import RequestMemory
from agentic_api.runs.service import RunService
from agentic_api.runs.states import RULES, RUN_STARTED
from agentic_api.runs.storage.records import StoredEvent
from agentic_api.web.middleware.slow_readers import CHUNK_BYTES

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
KEEPALIVE_SECONDS = 10.0
KEEPALIVE = b": keep-alive\n\n"


def event(number: int, kind: str, data: bytes) -> bytes:
    """One event on the wire."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, kind.encode(), data)


async def stream(
    service: RunService, principal: Principal, run_id: UUID, *, memory: RequestMemory, after: int, started: str | None
) -> AsyncGenerator[bytes]:
    """A run from event `after` on. `started` is the data of the first event; None when the client has seen it.

    It ends early when the tenant's share of memory stays in use; the client resumes it, as after a lost connection.
    """
    if started is not None:
        yield event(0, RUN_STARTED, started.encode())
    seen = after
    async for batch in _with_keepalive(service.follow(principal, run_id, after=after)):
        if not batch:
            yield KEEPALIVE
            continue
        seen = batch[-1].seq
        async with memory.sending(principal.tenant_id, sum(len(item.payload) for item in batch)) as held:
            if not held:
                return
            for chunk in _joined(batch):
                yield chunk
    run = await service.result(principal, run_id)
    yield event(seen + 1, RULES[run.status].event, run.encoded)


def _joined(batch: list[StoredEvent]) -> Iterator[bytes]:
    """Events as few chunks that are not large, unless a single event is."""
    parts: list[bytes] = []
    size = 0
    for item in batch:
        part = event(item.seq, item.type, item.payload.encode())
        size += len(part)
        if parts and size > CHUNK_BYTES:
            yield b"".join(parts)
            parts, size = [], len(part)
        parts.append(part)
    yield b"".join(parts)


async def _with_keepalive(batches: AsyncGenerator[list[StoredEvent]]) -> AsyncGenerator[list[StoredEvent]]:
    """The batches, and an empty one whenever there was none for a while."""
    waiting = asyncio.ensure_future(anext(batches, None))
    try:
        while True:
            done, _ = await asyncio.wait((waiting,), timeout=KEEPALIVE_SECONDS)
            if not done:
                yield []
                continue
            batch = waiting.result()
            if batch is None:
                return
            yield batch
            waiting = asyncio.ensure_future(anext(batches, None))
    finally:
        waiting.cancel()
        await asyncio.wait((waiting,))
        await batches.aclose()
