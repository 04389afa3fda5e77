"""A run that this process drives, as its followers see it: the events so far, and the end when it is there.

The driver publishes; the service follows. Invariants:
- Events are numbered from 1 without gaps, and are never changed.
- A follower takes `_changed` before it looks at the events and the end: what comes after that look sets what it waits
  for, so no follower sleeps through an event.
- The result is there before `_done` is set.
"""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from agentic_api.runs.schemas import RunSummary
from agentic_api.runs.storage.records import BATCH_BYTES, BATCH_EVENTS, StoredEvent


class LiveRun:
    """The events and the end of one run; a slow follower delays no other."""

    def __init__(self, run_id: UUID, tenant_id: UUID) -> None:
        self.id = run_id
        self.tenant_id = tenant_id
        self.events: list[StoredEvent] = []
        self.result: RunSummary | None = None
        self._done = False
        self._changed = asyncio.Event()

    def publish(self, kind: str, payload: str) -> None:
        """Add the next event."""
        self.events.append(StoredEvent(len(self.events) + 1, kind, payload))
        self._notify()

    def finish(self, result: RunSummary | None) -> None:
        """The run has ended; without a result when another replica has closed it."""
        self.result = result
        self._done = True
        self._notify()

    async def follow(self, after: int) -> AsyncGenerator[list[StoredEvent]]:
        """Events that follow number `after`, as they come, until the run has ended."""
        while True:
            changed = self._changed  # before the look at the events: see the invariants
            if batch := self._batch(after):
                after = batch[-1].seq
                yield batch
            elif self._done:
                return
            else:
                await changed.wait()

    async def ended(self) -> RunSummary | None:
        """The run as it ended, whole if that fits into a response; None when another replica has closed it."""
        while not self._done:
            await self._changed.wait()
        return self.result

    def _batch(self, after: int) -> list[StoredEvent]:
        """The events that follow, as far as they fit: each slow follower holds a batch in memory."""
        size, end = 0, after
        while end < min(len(self.events), after + BATCH_EVENTS) and size < BATCH_BYTES:
            size += len(self.events[end].payload)
            end += 1
        return self.events[after:end]

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
