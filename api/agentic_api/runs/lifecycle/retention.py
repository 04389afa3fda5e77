"""Deletes the events of runs that ended long ago, in batches; the composition root runs it beside the replica.

Every replica does it, one at a time: the database function takes a lock, and a replica that does not get it waits for
the next round. Runs keep their messages, tool executions and usage.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agentic_core import tasks, telemetry
from agentic_core.clock import Clock
from agentic_core.db import Database, faults, functions

BATCH = 5000
"""Events that are deleted in one transaction."""
log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Retention:
    """How long events are kept."""

    database: Database
    clock: Clock
    days: float
    """For ever when 0."""
    interval_seconds: float = 600.0
    batch: int = BATCH

    def running(self) -> AbstractAsyncContextManager[Any]:
        """Delete old events inside the block."""
        return tasks.background(*([self._run()] if self.days else []))

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:
                log.warning("events not deleted", error=type(error).__name__, exc_info=not faults.is_unavailable(error))
            await asyncio.sleep(self.interval_seconds)

    async def sweep(self) -> int:
        """Delete all that is old now."""
        before, total = self.clock.now() - timedelta(days=self.days), 0
        while deleted := await functions.expire_events(self.database, before=before, limit=self.batch):
            total += deleted
        if total:
            log.info("old events deleted", events=total)
        return total
