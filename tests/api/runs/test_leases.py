"""Leases while the database is silent or busy; what becomes of dead replicas' runs is in `test_process_faults`."""

import asyncio
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from agentic_api import composition
from agentic_api.runs.lifecycle.driver import Driver
from agentic_api.runs.lifecycle.leases import Leases, LeaseTimes
from agentic_api.runs.lifecycle.sweep import Sweeper
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import NewRun
from agentic_api.settings import ApiSettings
from agentic_core import tasks
from agentic_core.db import Database, functions
from agentic_core.db import tables as t
from tests.api.runs import stage
from tests.api.runs.stage import Tenant
from tests.api.runs.test_journal import LATE, REPLICA, begun, sweep
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE, until

SWEEP = LeaseTimes(lease_seconds=5, interval_seconds=0.01, sweep_seconds=0.05)
EXTENSION = LeaseTimes(lease_seconds=0.05, interval_seconds=0.01, sweep_seconds=5)


@pytest.mark.parametrize(("question", "times"), [("expired_runs", SWEEP), ("extend_leases", EXTENSION)])
async def test_what_is_not_answered_is_given_up_and_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, question: str, times: LeaseTimes
) -> None:
    again = asyncio.Event()
    asked = 0

    async def silent(*_what: object, **_how: object) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            again.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(functions, question, silent)
    drivers = driven(uuid4()) if question == "extend_leases" else []
    keeping = asyncio.create_task(keeper(database, uuid4(), times, drivers).keep())
    try:
        await asyncio.wait_for(again.wait(), PATIENCE)
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,))


def keeper(database: Database, replica: UUID, times: LeaseTimes, drivers: list[Driver]) -> Leases:
    """What keeps the leases of these drivers."""
    return Leases(database, replica, times, lambda: drivers, Sweeper(database, replica, 60.0, lambda _status: None))


def driven(run_id: UUID) -> list[Driver]:
    return cast("list[Driver]", [SimpleNamespace(live=SimpleNamespace(id=run_id))])


async def test_a_sweep_that_takes_long_delays_no_extension(
    database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, sweeping = await begun(database, tenant, lease_seconds=60.0), asyncio.Event()

    async def silent(*_what: object, **_how: object) -> None:
        sweeping.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(functions, "expired_runs", silent)
    times = LeaseTimes(lease_seconds=60, interval_seconds=0.01, sweep_seconds=60)
    async with tasks.background(keeper(database, REPLICA, times, driven(run.id)).keep()):
        await asyncio.wait_for(sweeping.wait(), PATIENCE)
        for _ in range(3):
            before = await expiry(database, tenant, run)
            await until(lambda: later(database, tenant, run, before), what="the lease to be extended")  # noqa: B023


async def test_a_replica_whose_connections_are_all_used_keeps_its_runs(
    database: Database, postgres: PostgresDatabase, tenant: Tenant
) -> None:
    settings = ApiSettings(database_url=SecretStr(postgres.api), database_connections=4)
    busy = composition.database_of(settings)
    times = LeaseTimes(lease_seconds=3, interval_seconds=0.1)
    run = await begun(database, tenant, lease_seconds=3.0)
    ours = keeper(busy, REPLICA, times, driven(run.id))
    async with busy.session(tenant.id) as slow:
        await slow.execute(sa.select(1))
        async with tasks.background(ours.keep()):
            first = await expiry(database, tenant, run)
            await until(lambda: later(database, tenant, run, first + timedelta(seconds=1)), what="extensions")
            await sweep(database)
            async with database.transaction(tenant.id) as transaction:
                assert await Journal(transaction).record(run.id, REPLICA, [LATE]), "it is still the replica's"
    await busy.close()


async def expiry(database: Database, tenant: Tenant, run: NewRun) -> datetime:
    """When the run's lease expires."""
    async with database.session(tenant.id) as session:
        found: datetime = (
            await session.execute(sa.select(t.runs.c.lease_expires_at).where(t.runs.c.id == run.id))
        ).scalar_one()
    return found


async def later(database: Database, tenant: Tenant, run: NewRun, than: datetime) -> bool:
    return await expiry(database, tenant, run) > than


@pytest.mark.parametrize("times", [LeaseTimes(), stage.QUICK.leases])
def test_two_extensions_that_get_no_response_fit_into_a_lease(times: LeaseTimes) -> None:
    second = times.interval_seconds + times.attempt_seconds + times.retry_seconds
    assert second < times.lease_seconds, "the second begins before the lease expires"
    assert times.attempt_seconds > 0
