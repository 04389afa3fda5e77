"""That settings reach what they are about, in the api as it is put together for a cluster."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from agentic_api.runs.lifecycle.capacity import TooManyFollowers, TooManyRuns
from agentic_core.db import PLATFORM_TENANT, Database, functions
from tests.api import harness
from tests.support.apiserver import ControlPlane
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

OPEN = "select count(*) from pg_stat_activity where usename = current_user and datname = current_database()"
STATEMENTS = "select count(*) as lasting from pg_prepared_statements where $1 = $1::uuid and name <> ''"


async def test_what_a_tenant_may_hold_of_a_replica(
    plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    tenant, mebibyte = uuid4(), 1024 * 1024
    async with harness.running(
        plane, postgres, tmp_path, runs_per_tenant=1, followers_per_tenant=2, live_bytes=mebibyte
    ) as api:
        slots = api.context.runs.replica.slots
        slot = slots.run(tenant)
        with pytest.raises(TooManyRuns):
            slots.run(tenant)
        assert not slot.reserve(mebibyte)
        for leave in (slots.follower(tenant), slots.follower(tenant)):
            with pytest.raises(TooManyFollowers):
                slots.follower(tenant)
            leave()
            slots.follower(tenant)


async def test_how_long_events_are_kept(
    plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []

    async def expire(_database: Database, *, before: datetime, limit: int) -> int:
        asked.append(before)
        return 0

    monkeypatch.setattr(functions, "expire_events", expire)

    async def looked() -> list[datetime]:
        return asked

    async with harness.running(plane, postgres, tmp_path, event_days=3):
        await until(looked, what="the first look at old events")
    assert abs(datetime.now(UTC) - timedelta(days=3) - asked[0]) < timedelta(minutes=1)


async def test_what_a_tenants_requests_and_reads_may_hold_of_a_replica(
    plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    tenant, other, mebibyte = uuid4(), uuid4(), 1024 * 1024
    async with harness.running(plane, postgres, tmp_path, reads_per_tenant=1, request_bytes=32 * mebibyte) as api:
        context = api.context
        held = await context.memory.take(tenant, 16 * mebibyte)
        async with context.database.read_share(tenant):
            waiting = [
                asyncio.create_task(context.memory.take(tenant, 1)),
                asyncio.create_task(_read(context.database, tenant)),
            ]
            await context.memory.take(other, 16 * mebibyte)
            await _read(context.database, other)
            assert not any(task.done() for task in waiting), "the tenant has its share already"
        held.free()
        await asyncio.gather(*waiting)


async def _read(database: Database, tenant: UUID) -> None:
    async with database.read_share(tenant):
        await asyncio.sleep(0)


async def test_a_replica_opens_no_more_connections_than_it_may(
    plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    async with harness.running(plane, postgres, tmp_path, database_connections=4) as api:

        async def backend() -> int:
            async with api.context.database.transaction(PLATFORM_TENANT) as transaction:
                found: Any = await transaction.fetch_one("select pg_backend_pid() where $1 = $1::uuid")
                return int(found[0])

        assert len(set(await asyncio.gather(*(backend() for _ in range(20))))) == 1, "the others are reserved"
        database = api.context.database
        await asyncio.gather(*(functions.find_api_key(database, "x") for _ in range(20)))
        await asyncio.gather(*(functions.extend_leases(database, uuid4(), [uuid4()], seconds=9) for _ in range(20)))
        async with database.session(PLATFORM_TENANT) as session:
            assert (await session.execute(sa.text(OPEN))).scalar_one() <= 4 + 1, "one is for notices"


async def test_no_statement_lasts_behind_a_pooler(
    plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    async with harness.running(plane, postgres, tmp_path, database_pooler=True) as api:
        for _ in range(3):
            async with api.context.database.transaction(PLATFORM_TENANT) as transaction:
                found: Any = await transaction.fetch_one(STATEMENTS)
                assert found["lasting"] == 0
