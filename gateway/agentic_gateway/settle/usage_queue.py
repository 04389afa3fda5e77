"""Commits usage rows, many in one transaction, and reports when each is committed; the ledger adds rows to it.

There is no timer for new rows: an idle writer commits a row at once, and the rows that arrive meanwhile go together
into the next transaction of their tenant. A row that cannot be committed yet stays queued; when the wait for it is over
it is also written to the log, from where it can be entered by hand, once, by its id. A batch that the database rejects
is halved until the row that it rejects stands alone; that row becomes a dead letter.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol
from uuid import UUID

from agentic_core import telemetry
from agentic_core.backoff import Backoff
from agentic_core.tasks import cancel
from agentic_gateway.ledger import UsageRow
from agentic_gateway.metrics import GatewayMetrics
from agentic_gateway.problems import UsageBacklog
from agentic_gateway.settle import rejections
from agentic_gateway.settle.tenant_rows import Account, Batch, QueuedRow, TenantRows
from agentic_gateway.settle.usage import RunTotals

MAX_ROWS: Final = 500
"""Rows in one transaction."""
MAX_ERRORS: Final = 3
"""So often a batch is tried that the database rejects, before it is halved."""
RETRIES: Final = Backoff(first=0.05, longest=2.0)
LOG = telemetry.logger(__name__)


class UsageStore(Protocol):
    """Where usage is stored for ever."""

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> Sequence[RunTotals]:
        """Commit rows of one tenant; rows that are there already are left alone. Returns the totals of their runs."""
        ...

    async def dead_letter(self, row: UsageRow, error: str) -> None:
        """Store a row that `append` cannot store; one that is there already is left alone."""
        ...


class UsageQueue:
    """The rows of all tenants that are not committed, and the writers that commit them.

    Invariants:
    - A row is in one place from `add` to its commit: queued, in a batch that a writer holds, or in one that is delayed.
      Nothing takes it out but its commit, or its dead letter.
    - Tenants take turns, a batch each. A tenant has one batch in a transaction at most: locks on its rows occupy one
      writer, and its batches do not wait for each other's locks.
    - Whatever a batch fails or is rejected for, no writer waits to try it again. A tenant whose batch failed has a
      pause, and then a turn among the retries, which never occupy more than half of the writers.
    - When rows are committed, their accounts and the totals are updated in one step without an await: no call is
      granted tokens that are counted in neither.
    """

    def __init__(
        self,
        store: UsageStore,
        metrics: GatewayMetrics,
        *,
        on_totals: Callable[[Sequence[RunTotals]], None],
        writers: int,
        backlog: int,
        wait_seconds: float,
        retries: Backoff = RETRIES,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._on_totals = on_totals
        self._max_writers = writers
        self._backlog = backlog
        self._wait_seconds = wait_seconds
        self._backoff = retries
        self._tenants: dict[UUID, TenantRows] = {}
        self._turns: deque[TenantRows] = deque()
        self._retries: deque[TenantRows] = deque()
        """Turns of tenants whose last batch failed."""
        self._retrying = 0
        """Batches of such tenants that writers try now."""
        self._max_retrying = max(1, writers // 2)
        self._retry_next = True
        self._active = 0
        """Writers that will look for a turn again before they end."""
        self._writers: set[asyncio.Task[None]] = set()
        self._delayed: dict[Batch, asyncio.TimerHandle] = {}
        """Batches that were rejected and are tried again later."""
        self._pauses: dict[TenantRows, asyncio.TimerHandle] = {}
        """Tenants whose last batch failed, until they get a turn again."""
        self._empty = asyncio.Event()
        self._empty.set()
        self._closing = False
        self._pending = 0
        self._committed_at = monotonic()

    @property
    def stalled(self) -> bool:
        """Whether the backlog is full and nothing has been committed for long."""
        return self._pending >= self._backlog and monotonic() - self._committed_at > self._wait_seconds

    def check_room(self, tenant_id: UUID) -> None:
        """Raises `UsageBacklog` when no more of the tenant's usage should wait.

        All tenants together may use the backlog. Once it is full, each may hold an equal share of it, so that the rows
        of one are no reason to refuse another.
        """
        if self._pending < self._backlog:
            return
        rows = self._tenants.get(tenant_id)
        tenants = len(self._tenants) + (rows is None)
        if rows is not None and rows.pending >= max(1, self._backlog // tenants):
            raise UsageBacklog("Usage of this tenant cannot be recorded at the moment; try again in a while.")

    def add(self, row: UsageRow, account: Account) -> QueuedRow:
        """Queue a row. It is committed whether or not the result is awaited."""
        account.charged(row)
        queued = QueuedRow(row, account, self._wait_for)
        rows = self._tenants.get(row.tenant_id)
        if rows is None:
            rows = self._tenants[row.tenant_id] = TenantRows(row.tenant_id)
        rows.pending += 1
        self._count(1)
        rows.add(queued)
        self._give_turn(rows)
        return queued

    async def aclose(self) -> None:
        """Commit all that is queued; what cannot be committed within the wait goes to the log."""
        self._closing = True
        for batch, timer in list(self._delayed.items()):
            timer.cancel()
            self._due(batch)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_seconds):
                await self._empty.wait()
        self._max_writers = 0
        await cancel(self._writers)
        for timer in self._pauses.values():
            timer.cancel()
        for rows in self._tenants.values():
            for row in rows.rows():
                self._spill(row)

    async def _wait_for(self, queued: QueuedRow) -> None:
        """Wait until the row is committed, but not for ever: then it goes to the log, and the caller goes on."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await asyncio.shield(queued.finished)
        except TimeoutError:
            self._spill(queued.row)

    def _give_turn(self, rows: TenantRows) -> None:
        if rows.busy or not rows.waiting:
            return
        rows.busy = True
        (self._retries if rows.failures else self._turns).append(rows)
        if self._active < self._max_writers:
            self._active += 1
            task = asyncio.get_running_loop().create_task(self._write_turns())
            self._writers.add(task)
            task.add_done_callback(self._writers.discard)

    def _next(self) -> TenantRows | None:
        """The tenant whose turn it is; retries and other turns alternate, lest one waits for all of the other."""
        may_retry = bool(self._retries) and self._retrying < self._max_retrying
        retry = may_retry and (self._retry_next or not self._turns)
        self._retry_next = not retry
        if retry:
            return self._retries.popleft()
        return self._turns.popleft() if self._turns else None

    async def _write_turns(self) -> None:
        try:
            await self._write_all()
        finally:
            self._active -= 1  # no await between the last look for a turn and this: a turn would have no writer

    async def _write_all(self) -> None:
        """Commit a batch of one tenant after another until none has a turn that this writer may take."""
        while rows := self._next():
            batch, retry, stored = rows.take(MAX_ROWS), rows.failures > 0, False
            self._retrying += retry
            try:
                stored = await self._write(batch)
            except asyncio.CancelledError:
                rows.put_back(batch)
                raise
            finally:
                self._retrying -= retry
                self._end_turn(rows, stored=stored)

    def _end_turn(self, rows: TenantRows, *, stored: bool) -> None:
        if stored:
            rows.failures = 0
            self._resume(rows)
        else:
            rows.failures += 1
            loop = asyncio.get_running_loop()
            self._pauses[rows] = loop.call_later(self._backoff.pause(rows.failures), self._resume, rows)

    def _resume(self, rows: TenantRows) -> None:
        self._pauses.pop(rows, None)
        rows.busy = False
        self._give_turn(rows)

    async def _write(self, batch: Batch) -> bool:
        """Try a batch; False when the database could not store any."""
        try:
            totals = await self._store.append(batch.tenant_id, [queued.row for queued in batch.rows])
        except Exception as error:  # noqa: BLE001 - whatever the database says, the rows must not be lost
            self._metrics.usage_failures.inc()
            LOG.warning("usage not committed", rows=len(batch.rows), error=rejections.reason(error))
            if rejections.about_rows(error):
                return await self._rejected(batch, error)
            self._put_back(batch)
            return False
        self._committed(batch, totals)
        return True

    async def _rejected(self, batch: Batch, error: Exception) -> bool:
        batch.errors += 1
        batch.rejected = True
        if batch.errors < MAX_ERRORS and self._closing:
            self._put_back(batch)
        elif batch.errors < MAX_ERRORS:
            timer = asyncio.get_running_loop().call_later(self._backoff.pause(batch.errors), self._due, batch)
            self._delayed[batch] = timer
        elif len(batch.rows) > 1:
            for half in batch.halves(MAX_ERRORS):
                self._put_back(half)
        else:
            return await self._dead_letter(batch, error)
        return True

    def _due(self, batch: Batch) -> None:
        del self._delayed[batch]
        self._put_back(batch)

    def _put_back(self, batch: Batch) -> None:
        rows = self._tenants[batch.tenant_id]
        rows.put_back(batch)
        self._give_turn(rows)

    def _committed(self, batch: Batch, totals: Sequence[RunTotals]) -> None:
        now = self._committed_at = monotonic()
        # No await from here to the totals: these rows would be counted nowhere, or twice.
        for queued in batch.rows:
            queued.account.committed(queued.row)
        self._on_totals(totals)
        self._metrics.usage_batch.observe(len(batch.rows))
        for queued in batch.rows:
            self._metrics.usage_lag.observe(now - queued.since)
        self._finish(batch)

    async def _dead_letter(self, batch: Batch, error: Exception) -> bool:
        """Store the row apart, or in the log when that cannot be either; False when a later attempt may store it."""
        row, reason = batch.rows[0].row, rejections.reason(error)
        stored = True
        try:
            await self._store.dead_letter(row, reason)
        except Exception as failure:  # noqa: BLE001 - whatever the database says, the row must not be lost
            if not rejections.is_lasting(failure):
                self._put_back(batch)
                return False
            stored = False
        if stored:
            LOG.error("usage row dead-lettered", tenant_id=str(row.tenant_id), row_id=str(row.id), error=reason)
        else:
            LOG.error("usage row stored in the log only", usage=rejections.as_text(row), error=reason)
        self._metrics.usage_dead_letters.inc()
        batch.rows[0].account.dead_lettered(row)
        self._finish(batch)
        return True

    def _finish(self, batch: Batch) -> None:
        rows = self._tenants[batch.tenant_id]
        rows.pending -= len(batch.rows)
        if not rows.pending:
            del self._tenants[batch.tenant_id]
        self._count(-len(batch.rows))
        for queued in batch.rows:
            queued.finish()

    def _count(self, rows: int) -> None:
        self._pending += rows
        if self._pending:
            self._empty.clear()
        else:
            self._empty.set()
        self._metrics.usage_pending.set(self._pending)

    def _spill(self, row: UsageRow) -> None:
        self._metrics.usage_spilled.inc()
        LOG.error("usage row not committed yet", usage=rejections.as_text(row))
