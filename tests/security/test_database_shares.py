"""Whatever one tenant reads, however slowly and however often, others are authenticated and served meanwhile."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import sqlalchemy as sa

from agentic_api.keys.repository import KeyRepository
from agentic_core.auth import api_keys
from agentic_core.auth.api_keys import Role
from agentic_core.db import Database
from agentic_core.db.shares import ReadShares, ReadTooSlow, StatementTimeouts, TooManyReads
from tests.api.runs import stage
from tests.api.runs.stage import Api, Tenant
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

READS = 40
WAITING = """
select count(*) from pg_stat_activity
where usename = 'agentic_api' and datname = current_database() and wait_event_type = 'Lock'
and query not like '%expired_runs%'
"""
"""Reads of clients that wait for a lock; the sweep of leases looks at runs too."""


@asynccontextmanager
async def _served(postgres: PostgresDatabase, database: Database) -> AsyncGenerator[tuple[Api, Tenant, Tenant]]:
    busy, other = await stage.tenant(database), await stage.tenant(database)
    catalog = stage.catalog_of([busy, other], endpoint="http://127.0.0.1:9")
    async with stage.serving(postgres.api, catalog) as api:
        yield api, busy, other


async def _new_key(database: Database, tenant: Tenant) -> str:
    """A key that no cache has."""
    key = api_keys.create()
    async with database.session(tenant.id) as session:
        await KeyRepository(session).add(key, name="new", role=Role.VIEWER, pepper=stage.PEPPER, expires_at=None)
    return key.text


async def _seconds(api: Api, database: Database, tenant: Tenant, path: str) -> float:
    async with api.client(await _new_key(database, tenant)) as client:
        begun = time.perf_counter()
        assert (await client.get(path)).status_code == 200
        return time.perf_counter() - begun


async def test_reads_that_hang_hold_their_tenants_share_and_nobody_waits_behind_them(
    postgres: PostgresDatabase, database: Database
) -> None:
    """The table of runs is locked, so that every read of runs takes as long as it may."""
    admin: Any = await asyncpg.connect(postgres.admin)
    watcher: Any = await asyncpg.connect(postgres.admin)
    async with _served(postgres, database) as (api, busy, other), api.client(busy.key) as client:
        before = await _seconds(api, database, other, "/api/v1/conversations")
        async with admin.transaction():
            await admin.execute("lock table runs in access exclusive mode")
            flood = [asyncio.create_task(client.get("/api/v1/runs?status=cancelled&limit=200")) for _ in range(READS)]

            async def waiting() -> bool:
                return bool(await watcher.fetchval(WAITING) == 4)

            await until(waiting, what="the share of the tenant to be in use")
            during = [await _seconds(api, database, other, "/api/v1/conversations") for _ in range(5)]
            assert await watcher.fetchval(WAITING) == 4, "no more than its share"
            assert max(during) < max(1.0, 10 * before), "neither authentication nor another tenant's read waits"
            slow, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        found = slow.pop().result()
        assert (found.status_code, found.json()["code"]) == (503, "read_too_slow")
        assert {one.status_code for one in await asyncio.gather(*flood)} <= {200, 429, 503}
        assert (await client.get("/api/v1/runs")).status_code == 200, "all permits are back"
    await admin.close()
    await watcher.close()


async def test_each_class_of_statements_has_its_timeout_in_the_database(postgres: PostgresDatabase) -> None:
    timeouts = StatementTimeouts(read=0.2, write=0.4, background=0.6)
    database, tenant = Database(postgres.api, connections=3, timeouts=timeouts), uuid4()
    shown = sa.text("select current_setting('statement_timeout')")
    async with database.reading(tenant) as session:
        assert (await session.execute(shown)).scalar_one() == "200ms"
    async with database.session(tenant) as session:
        assert (await session.execute(shown)).scalar_one() == "400ms"
    async with database.transaction(tenant) as transaction:
        row = await transaction.fetch_one("select current_setting('statement_timeout') as timeout, $1::uuid")
        assert row is not None
        assert row["timeout"] == "400ms"
    async with database.platform() as connection:
        assert (await connection.execute(shown)).scalar_one() == "600ms"
    with pytest.raises(ReadTooSlow):
        await _sleep(database, tenant)
    async with database.reading(tenant) as session:
        assert (await session.execute(sa.text("select 1"))).scalar_one() == 1
    await database.close()


async def _sleep(database: Database, tenant: UUID) -> None:
    async with database.reading(tenant) as session:
        await session.execute(sa.text("select pg_sleep(20)"))


async def test_a_tenant_whose_share_stays_in_use_is_refused_and_others_are_not() -> None:
    shares, busy, other = ReadShares(5, per_tenant=1, wait_seconds=0.05), uuid4(), uuid4()
    async with shares.hold(busy):
        with pytest.raises(TooManyReads):
            await shares.hold(busy).__aenter__()
        async with shares.hold(other):
            pass
    async with shares.hold(busy):
        pass
