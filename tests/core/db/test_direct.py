"""Transactions on the bare driver, on connections of the one pool."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import sqlalchemy as sa

from agentic_core.db import Database, faults, tables
from tests.support.postgres import Postgres, PostgresDatabase

INSERT = "insert into tenants (tenant_id, name) values ($1, $2)"
PID = "select pg_backend_pid() where $1 = $1::uuid"
STATEMENT = "select count(*) as found from runs where tenant_id = $1 and id = $2::uuid"


async def test_statements_are_planned_once(postgres: PostgresDatabase) -> None:
    database, tenant = Database(postgres.programs, connections=1), uuid4()
    for _ in range(9):
        async with database.transaction(tenant) as transaction:
            await transaction.fetch_one(STATEMENT, uuid4())
            plans = "select max(generic_plans) g, max(custom_plans) c from pg_prepared_statements where $1 = $1::uuid"
            found = await transaction.fetch_one(f"{plans} and statement like '%as found from runs%'")
    await database.close()
    assert found is not None
    assert tuple(found) == (9, 0)


async def test_behind_a_pooler_no_statement_lasts(postgres: PostgresDatabase) -> None:
    database, tenant = Database(postgres.programs, connections=1, transaction_pooler=True), uuid4()
    for _ in range(3):
        async with database.transaction(tenant) as transaction:
            await transaction.fetch_one(STATEMENT, uuid4())
            plans = "select count(*) as lasting from pg_prepared_statements where $1 = $1::uuid and name <> ''"
            found = await transaction.fetch_one(f"{plans} and statement like '%as found from runs%'")
            assert found is not None
            assert found["lasting"] == 0
    await database.close()


@pytest.fixture
async def single(postgres: PostgresDatabase) -> AsyncGenerator[Database]:
    """A database with a single connection."""
    opened = Database(postgres.programs, connections=1)
    yield opened
    await opened.close()


async def driver_pid(database: Database) -> int:
    async with database.transaction(uuid4()) as transaction:
        return int((await transaction.fetch_one(PID))[0])  # type: ignore[index]


async def session_pid(database: Database) -> int:
    async with database.session(uuid4()) as session:
        found: int = (await session.execute(sa.text("select pg_backend_pid()"))).scalar_one()
        return found


async def names(database: Database, tenant: UUID) -> list[str]:
    async with database.session(tenant) as session:
        return list((await session.execute(sa.select(tables.tenants.c.name))).scalars())


async def test_transactions_and_sessions_share_the_connections_of_one_pool(postgres: PostgresDatabase) -> None:
    database = Database(postgres.programs, connections=3)
    pids = await asyncio.gather(*(kind(database) for kind in (driver_pid, session_pid) * 12))
    await database.close()
    assert len(set(pids)) <= 3
    assert set(pids[::2]) & set(pids[1::2])


async def test_a_session_after_a_transaction_plans_its_statements_anew(single: Database) -> None:
    await driver_pid(single)
    async with single.session(uuid4()) as session:
        setting = sa.text("select current_setting('plan_cache_mode'), current_setting('app.tenant_id')")
        mode, tenant = (await session.execute(setting)).one()
    assert (mode, tenant != "") == ("auto", True)


async def test_an_error_rolls_back_and_the_connection_is_used_again(single: Database) -> None:
    tenant, before = uuid4(), await driver_pid(single)
    for error, statement in ((ValueError, None), (asyncpg.PostgresSyntaxError, "nonsense $1")):
        with pytest.raises(error):
            await _write_and_fail(single, tenant, statement)
    assert await names(single, tenant) == []
    assert await driver_pid(single) == before


async def _write_and_fail(database: Database, tenant: UUID, statement: str | None) -> None:
    async with database.transaction(tenant) as transaction:
        await transaction.fetch(INSERT, "x")
        if statement is None:
            raise ValueError
        await transaction.fetch(statement)


@pytest.mark.parametrize("moment", ["begin", "statement", "block"])
async def test_a_cancelled_transaction_leaves_nothing_and_its_connection_is_closed(
    single: Database, postgres: PostgresDatabase, moment: str
) -> None:
    tenant, before, reached = uuid4(), await driver_pid(single), asyncio.Event()

    async def write() -> None:
        async with single.transaction(tenant) as transaction:
            await transaction.fetch(INSERT, "x")
            reached.set()
            await (transaction.fetch("select pg_sleep(60) where $1 = $1::uuid") if moment == "statement" else forever())

    task = asyncio.create_task(write())
    if moment == "begin":
        for _ in range(3):
            await asyncio.sleep(0)
    else:
        await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(single, tenant) == []
    assert moment == "begin" or await driver_pid(single) != before
    connection = await asyncpg.connect(postgres.admin)
    idle = "select count(*) from pg_stat_activity where usename = 'agentic_tests' and state like 'idle in transaction%'"
    assert await connection.fetchval(idle) == 0
    await connection.close()


async def forever() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("pid", [driver_pid, session_pid], ids=["transaction", "session"])
async def test_connections_that_the_server_closed_while_they_were_idle_are_replaced(
    postgres: PostgresDatabase, pid: Any
) -> None:
    database = Database(postgres.programs, connections=3)
    before = set(await asyncio.gather(*(pid(database) for _ in range(9))))
    connection = await asyncpg.connect(postgres.admin)
    end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'agentic_tests'"
    assert len(await connection.fetch(end)) == len(before)
    await connection.close()
    await asyncio.sleep(0.05)  # the loop reads the ends of the connections
    after = set(await asyncio.gather(*(pid(database) for _ in range(9))))
    await database.close()
    assert not before & after


@pytest.mark.parametrize("pid", [driver_pid, session_pid], ids=["transaction", "session"])
async def test_a_server_that_accepts_no_connection_now_is_unavailable(
    postgres_server: Postgres, postgres: PostgresDatabase, single: Database, pid: Any
) -> None:
    await postgres_server.execute(f"alter database {postgres.name} connection limit 0")
    with pytest.raises(Exception, match="too many connections") as refused:
        await pid(single)
    assert faults.is_unavailable(refused.value)


async def test_json_is_text_in_transactions_and_parsed_in_sessions(single: Database) -> None:
    async with single.transaction(uuid4()) as transaction:
        found = await transaction.fetch_one("""select '{"a": 1}'::jsonb::text as value where $1 = $1::uuid""")
        assert found is not None
        assert found["value"] == '{"a": 1}'
    async with single.session(tenant := uuid4()) as session:
        await session.execute(sa.insert(tables.tenants).values(tenant_id=tenant, name="x"))
        note = tables.audit_log.insert().values(tenant_id=tenant, id=uuid4(), actor="", action="", target="")
        await session.execute(note, {"details": {"a": [1]}})
        assert (await session.execute(sa.select(tables.audit_log.c.details))).scalar_one() == {"a": [1]}
