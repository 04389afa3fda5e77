"""Writes usage rows, many in one transaction, and tells when each is committed; the relay waits for that.

There is no timer: an idle writer commits a row at once, and what arrives meanwhile goes together into the next
transaction of its tenant. A row that cannot be committed stays in line until it can; when the wait for it is over it is
also written to the log, from where it can be entered by hand, once, by its id.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from time import monotonic
from typing import Final, Protocol
from uuid import UUID

from agentic_core import telemetry
from agentic_gateway.metrics import Metrics
from agentic_gateway.reserve.allowances import Allowance, Allowances
from agentic_gateway.settle.usage import RunState, UsageRow

MOST_ROWS: Final = 500
"""Rows in one transaction."""
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
LOG = telemetry.logger(__name__)


class Ledger(Protocol):
    """Where usage is kept for ever."""

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> Sequence[RunState]:
        """Commit rows of one tenant; rows that are there already are left alone. Gives the states of their runs."""
        ...


class Entry:
    """A row on its way."""

    __slots__ = ("allowance", "committed", "row", "since")

    def __init__(self, row: UsageRow, allowance: Allowance | None) -> None:
        self.row = row
        self.allowance = allowance
        self.since = monotonic()
        self.committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Meter:
    """The line of rows and the writers that empty it."""

    def __init__(
        self,
        ledger: Ledger,
        allowances: Allowances,
        metrics: Metrics,
        *,
        writers: int,
        backlog: int,
        wait_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._allowances = allowances
        self._metrics = metrics
        self._backlog = backlog
        self._wait_seconds = wait_seconds
        self._waiting: dict[UUID, list[Entry]] = {}
        self._turns: deque[UUID] = deque()
        self._writers = writers
        self._active = 0
        self._running: set[asyncio.Task[None]] = set()
        self._pending = 0

    @property
    def full(self) -> bool:
        """Whether so much is waiting that nothing more should be spent."""
        return self._pending >= self._backlog

    def record(self, row: UsageRow) -> Entry:
        """Put a row in line. It is written even if nobody waits for it."""
        allowance = self._allowances.of(row)
        if allowance is not None:
            allowance.charged(row)
        entry = Entry(row, allowance)
        self._pending += 1
        self._metrics.usage_pending.set(self._pending)
        self._enqueue(row.tenant_id, [entry])
        return entry

    async def committed(self, entry: Entry) -> None:
        """Wait until the row is committed, but not for ever: then it goes to the log, and the caller goes on."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await asyncio.shield(entry.committed)
        except TimeoutError:
            self._spill(entry.row)

    async def close(self) -> None:
        """Write all that is in line; what cannot be written within the wait goes to the log."""
        deadline = monotonic() + self._wait_seconds
        while self._running and monotonic() < deadline:
            await asyncio.wait(self._running, timeout=deadline - monotonic())
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for entries in self._waiting.values():
            for entry in entries:
                self._spill(entry.row)

    def _enqueue(self, tenant_id: UUID, entries: list[Entry]) -> None:
        line = self._waiting.get(tenant_id)
        if line is not None:
            line.extend(entries)
            return
        self._waiting[tenant_id] = entries
        self._turns.append(tenant_id)
        if self._active < self._writers:
            self._active += 1
            task = asyncio.get_running_loop().create_task(self._write())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _write(self) -> None:
        try:
            await self._write_all()
        finally:
            self._active -= 1

    async def _write_all(self) -> None:
        """Commit for one tenant after another until nothing is left."""
        pause = FIRST_PAUSE
        while self._turns:
            tenant_id = self._turns.popleft()
            entries = self._waiting.pop(tenant_id)
            batch, rest = entries[:MOST_ROWS], entries[MOST_ROWS:]
            if rest:
                self._enqueue(tenant_id, rest)
            try:
                states = await self._ledger.append(tenant_id, [entry.row for entry in batch])
            except Exception as error:  # noqa: BLE001 - whatever the database says, the rows must not be lost
                self._put_back(tenant_id, batch, error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            except asyncio.CancelledError:
                self._waiting.setdefault(tenant_id, []).extend(batch)
                raise
            else:
                pause = FIRST_PAUSE
                self._done(batch, states)

    def _put_back(self, tenant_id: UUID, batch: list[Entry], error: Exception) -> None:
        self._metrics.usage_failures.inc()
        LOG.warning("usage could not be committed; it is tried again", rows=len(batch), error=repr(error))
        line = self._waiting.get(tenant_id)
        if line is None:
            self._waiting[tenant_id] = batch
            self._turns.append(tenant_id)
        else:
            line[:0] = batch

    def _done(self, batch: list[Entry], states: Sequence[RunState]) -> None:
        now = monotonic()
        for entry in batch:
            if entry.allowance is not None:
                entry.allowance.committed(entry.row)
        self._allowances.learn(states)
        self._pending -= len(batch)
        self._metrics.usage_pending.set(self._pending)
        self._metrics.usage_batch.observe(len(batch))
        for entry in batch:
            self._metrics.usage_lag.observe(now - entry.since)
            if not entry.committed.done():
                entry.committed.set_result(None)

    def _spill(self, row: UsageRow) -> None:
        self._metrics.usage_spilled.inc()
        LOG.error("usage is not committed yet; this is the row", usage=asdict(row))
