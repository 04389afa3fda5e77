"""Leases of runs: a replica extends those of the runs that it drives, and has runs swept whose lease has expired.

The replica runs it. A run whose replica has died is closed as interrupted within lease + interval, with all that was
stored of it. One closer wins: it claims the run, and the old driver's later writes find that the run is no longer its.
Only runs of a leased status have leases: queued and waiting ones are left alone.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agentic_api.runs.lifecycle.driver import Driver
from agentic_api.runs.lifecycle.sweep import Sweeper
from agentic_core import tasks, telemetry
from agentic_core.contract import ErrorCode, RunError
from agentic_core.db import Database, faults, functions

CANCELLED = RunError(code=ErrorCode.CANCELLED, message="The run was cancelled.")
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
    sweeper: Sweeper

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
                    sweep = self._attempt(self._sweep(), "expired runs not closed", seconds=self.times.sweep_seconds)
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

    async def _sweep(self) -> None:
        await self.sweeper.sweep({driver.live.id for driver in self.drivers()})
