"""Leases of runs: a replica extends those of the runs that it drives, and closes runs whose lease has expired.

The replica runs it. A run whose replica has died is closed as interrupted within lease + interval, with all that was
stored of it. One closer wins: it locks the run, and the old driver's later writes find that the run is no longer its.
Only runs of a leased status have leases: queued and waiting ones are left alone.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from agentic_api.runs.lifecycle import transcript
from agentic_api.runs.lifecycle.driver import Driver
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import Closing, StoredEvent
from agentic_core import telemetry
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
        """Extend and sweep for ever. A sweep follows an extension, so that live runs come first after an outage.

        A database that does not respond must not block this: the next connection may reach it.
        """
        healthy = True
        while True:
            try:
                async with asyncio.timeout(self.times.lease_seconds):
                    await self.extend()
                if healthy:
                    async with asyncio.timeout(self.times.sweep_seconds):
                        await self.sweep()
                healthy = True
            except Exception as error:
                healthy = False
                log.warning("leases not kept", error=type(error).__name__, exc_info=not faults.is_unavailable(error))
            await asyncio.sleep(self.times.interval_seconds)

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
