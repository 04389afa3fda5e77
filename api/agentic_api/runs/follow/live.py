"""A run that this process drives, as its followers see it: the events so far, and the end when it is there."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from agentic_api.runs.schemas import Run
from agentic_api.runs.storage.records import BATCH_BYTES, BATCH_EVENTS, StoredEvent


class LiveRun:
    """Events are numbered from 1 without gaps; a slow follower costs nothing but its own time."""

    def __init__(self, run_id: UUID, tenant_id: UUID) -> None:
        self.id = run_id
        self.tenant_id = tenant_id
        self.events: list[StoredEvent] = []
        self.result: Run | None = None
        self._done = False
        self._changed = asyncio.Event()

    def publish(self, kind: str, payload: str) -> None:
        """Add the next event."""
        self.events.append(StoredEvent(len(self.events) + 1, kind, payload))
        self._wake()

    def finish(self, result: Run | None) -> None:
        """The run has ended; without a result when somebody else has closed it."""
        self.result = result
        self._done = True
        self._wake()

    async def follow(self, after: int) -> AsyncGenerator[list[StoredEvent]]:
        """Events that follow number `after`, as they come, until the run has ended."""
        while True:
            changed = self._changed
            if fresh := self._batch(after):
                after = fresh[-1].seq
                yield fresh
            elif self._done:
                return
            else:
                await changed.wait()

    async def ended(self) -> Run | None:
        """The run as it ended."""
        while not self._done:
            await self._changed.wait()
        return self.result

    def _batch(self, after: int) -> list[StoredEvent]:
        """Some of the events that follow: what is on its way to a slow follower is held for each of them."""
        size, end = 0, after
        while end < min(len(self.events), after + BATCH_EVENTS) and size < BATCH_BYTES:
            size += len(self.events[end].payload)
            end += 1
        return self.events[after:end]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
