"""Leases of runs: a replica extends those of the runs that it drives, and closes runs whose lease has expired.

The replica runs it. A run whose replica has died is closed as interrupted within lease + interval, with all that was
stored of it. One closer wins: it locks the run, and the old driver's later writes find that the run is no longer its.
Only runs of a leased status have leases: queued and waiting ones are left alone.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agentic_api.runs.lifecycle import transcript
from agentic_api.runs.lifecycle.driver import Driver
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import Closing, StoredEvent
from agentic_core import tasks, telemetry
from agentic_core.contract import ErrorCode, Failed, RunError, read_event
from agentic_core.db import Database, faults, functions

INTERRUPTED = RunError(code=ErrorCode.INTERRUPTED, message="The api replica that drove the run is gone.")
CANCELLED = RunError(code=ErrorCode.CANCELLED, message="The run was cancelled.")
BATCH = 100
log = telemetry.logger(__name__)


@dataclass(frozen=True)
class LeaseTimes:
    """How long a lease holds, how often ours are extended, and how often expired ones are looked for."""

    lease_seconds: float = 15.0
    interval_seconds: float = 5.0
    sweep_seconds: float = 60.0
    """How long one sweep may take; the next one goes on with what is left."""

    @property
    def attempt_seconds(self) -> float:
        """How long one extension may take: so long that a second one succeeds before the lease expires."""
        return (self.lease_seconds - self.interval_seconds) / 2

    @property
    def retry_seconds(self) -> float:
        """The pause after an extension that failed."""
        return self.interval_seconds / 5


@dataclass(frozen=True)
class Leases:
    """The leases of one replica."""

    database: Database
    replica: UUID
    times: LeaseTimes
    drivers: Callable[[], Collection[Driver]]
    """The runs that this replica drives now."""
    closed: Callable[[str], None]
    """Called with the status of each run that was closed for a dead replica."""

    async def keep(self) -> None:
        """Extend for ever, and sweep beside it: a sweep that takes long delays no extension.

        A sweep begins after two extensions that succeeded, so that live runs of all replicas come first after an
        outage. A database that does not respond must not block this: the next connection may reach it.
        """
        healthy, sweeping = True, set[asyncio.Task[bool]]()
        try:
            while True:
                extended = await self._attempt(self.extend(), "leases not extended", seconds=self.times.attempt_seconds)
                if extended and healthy and not sweeping:
                    sweep = self._attempt(self.sweep(), "expired runs not closed", seconds=self.times.sweep_seconds)
                    sweeping.add(task := asyncio.create_task(sweep))
                    task.add_done_callback(sweeping.discard)
                healthy = extended
                await asyncio.sleep(self.times.interval_seconds if extended else self.times.retry_seconds)
        finally:
            await tasks.cancel(sweeping)

    @staticmethod
    async def _attempt(action: Coroutine[Any, Any, None], failure: str, *, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await action
        except Exception as error:
            log.warning(failure, error=type(error).__name__, exc_info=not faults.is_unavailable(error))
            return False
        return True

    async def extend(self) -> None:
        """Extend the leases of our runs; stop those that were cancelled elsewhere or closed by another."""
        mine = {driver.live.id: driver for driver in self.drivers()}
        if not mine:
            return
        held = await functions.extend_leases(self.database, self.replica, list(mine), seconds=self.times.lease_seconds)
        for item in held:
            if item.cancel_requested:
                mine[item.run_id].stop(CANCELLED)
        for run_id in mine.keys() - {item.run_id for item in held}:
            mine[run_id].lose()

    async def sweep(self) -> None:
        """Close the runs that no replica drives any more."""
        mine = {driver.live.id for driver in self.drivers()}
        for expired in await functions.expired_runs(self.database, limit=BATCH):
            if expired.run_id not in mine and await self._closes(expired):
                log.warning("run interrupted", run=str(expired.run_id), tenant_id=str(expired.tenant_id))
                self.closed("interrupted")

    async def _closes(self, expired: functions.ExpiredRun) -> bool:
        """Close a run. One that cannot be closed must not keep those of other tenants open."""
        try:
            return await self._close(expired.tenant_id, expired.run_id)
        except Exception as error:
            if faults.is_unavailable(error):
                raise
            log.exception("run not swept", run=str(expired.run_id), tenant_id=str(expired.tenant_id))
            return False

    async def _close(self, tenant_id: UUID, run_id: UUID) -> bool:
        async with self.database.transaction(tenant_id) as transaction:
            journal = Journal(transaction)
            holder = await journal.lock_expired(run_id)
            if holder is None:
                return False
            stored = await _all_events(journal, run_id)
            closed = await journal.close(run_id, interruption(stored), holder=holder, closer=self.replica)
        return closed is not None


async def _all_events(journal: Journal, run_id: UUID) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    while batch := await journal.events(run_id, after=found[-1].seq if found else 0, limit=1000):
        found += batch
    return found


def interruption(stored: list[StoredEvent]) -> Closing:
    """The end of a run of which only the stored events are left."""
    found = transcript.of([read_event(event.payload) for event in stored], INTERRUPTED)
    seq = stored[-1].seq if stored else 0
    if found.error is not INTERRUPTED:
        return found.closing([], last_seq=seq)
    error = StoredEvent(seq + 1, "error", Failed(error=INTERRUPTED).model_dump_json())
    return found.closing([error], last_seq=error.seq)
