"""Deletes the events of runs that ended long ago, in pieces; the composition root runs it beside the replica.

Every replica does it, one at a time: the database function takes a lock, and whoever does not get it waits for the next
round. Runs keep their messages, tool executions and usage.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from agentic_core import telemetry
from agentic_core.clock import Clock
from agentic_core.db import Database, faults, functions

PIECE = 5000
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
    piece: int = PIECE

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Delete what is old inside the block."""
        task = asyncio.create_task(self._keep()) if self.days else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:
                log.warning("events_not_deleted", error=type(error).__name__, exc_info=not faults.is_unavailable(error))
            await asyncio.sleep(self.interval_seconds)

    async def sweep(self) -> int:
        """Delete all that is old now."""
        before, total = self.clock.now() - timedelta(days=self.days), 0
        while deleted := await functions.expire_events(self.database, before=before, limit=self.piece):
            total += deleted
        if total:
            log.info("events_deleted", events=total)
        return total
