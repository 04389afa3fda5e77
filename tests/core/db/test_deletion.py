"""Deleting a tenant: bounded batches over every table, beside other tenants, writers and other replicas."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from agentic_migrations.tenancy import tenant_table
from sqlalchemy.exc import DBAPIError

from agentic_core.db import PLATFORM_TENANT, Database, faults, functions, tables, uuid7
from agentic_core.db.functions import Deletion
from tests.core.db.rows import Rows, delete_tenant, insert, rows
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase, connected

DELETE = sa.text("select deleted, done from delete_tenant(:tenant, :max_rows)")
WORK = sa.text("""
select sum(n_tup_del) as deleted, sum(idx_tup_fetch) as fetched, sum(seq_scan) as sequential
from pg_stat_xact_user_tables where schemaname = 'public'
""")
"""What this transaction did, rows deleted by cascades included."""
FILL = """
set session_replication_role = replica;
insert into tenants values ('{tenant}', 'large');
insert into agents (tenant_id, id, namespace, name) values ('{tenant}', '{tenant}', 'n', 'a');
create temporary table ids as select gen_random_uuid() as id from generate_series(1, {runs});
insert into conversations (tenant_id, id, agent_id) select '{tenant}', id, '{tenant}' from ids;
insert into runs (tenant_id, id, conversation_id, namespace, agent, revision, replica, status, finished_at)
select '{tenant}', id, id, 'n', 'a', 'r', '{tenant}', 'succeeded', now() from ids;
insert into run_events (tenant_id, run_id, seq, type)
select '{tenant}', id, n, 'text' from ids, generate_series(1, 22) n;
insert into messages (tenant_id, conversation_id, position, run_id, role, content)
select '{tenant}', id, n, id, 'user', 'hello' from ids, generate_series(1, 10) n;
insert into tool_executions (tenant_id, run_id, position, call_id, name)
select '{tenant}', id, n, 'c', 't' from ids, generate_series(1, 4) n;
insert into usage (tenant_id, id, run_id, provider, model, status)
select '{tenant}', gen_random_uuid(), id, 'p', 'm', 'completed' from ids, generate_series(1, 2) n;
drop table ids;
set session_replication_role = origin;
"""
ROWS_OF_A_RUN = 40


@dataclass(frozen=True)
class Batch:
    """A batch of a deletion, and what it cost."""

    deleted: int
    done: bool
    really_deleted: int
    fetched: int
    sequential: int


@asynccontextmanager
async def batch(database: Database, tenant: UUID, *, max_rows: int = 1000) -> AsyncGenerator[Batch]:
    """A batch that is committed at the end of the block."""
    await functions.mark_tenant_deleted(database, tenant)
    async with database.platform() as connection:
        before = (await connection.execute(WORK)).one()
        found = (await connection.execute(DELETE, {"tenant": tenant, "max_rows": max_rows})).one()
        work = (await connection.execute(WORK)).one()
        yield Batch(found.deleted, found.done, *(int(after - was) for after, was in zip(work, before, strict=True)))


async def delete(database: Database, tenant: UUID, *, max_rows: int = 1000) -> list[Batch]:
    """Delete batch after batch until it is done; the batches."""
    done: list[Batch] = []
    while not done or not done[-1].done:
        async with batch(database, tenant, max_rows=max_rows) as one:
            done.append(one)
        assert len(done) < 5000
    return done


async def stored(database: Database) -> tuple[UUID, Rows]:
    """A tenant with a row in each table."""
    tenant = uuid4()
    values = rows(tenant)
    async with database.session(tenant) as session:
        await insert(session, values)
    return tenant, values


async def counts(database: Database, tenant: UUID) -> dict[str, int]:
    async with database.session(tenant) as session:
        query = sa.select(sa.func.count()).select_from
        return {
            name: (await session.execute(query(table))).scalar_one() for name, table in tables.metadata.tables.items()
        }


@requirement("schema-tables")
async def test_deleting_a_tenant_leaves_nothing_of_it_and_all_of_others(database: Database) -> None:
    (mine, _), (other, _) = await stored(database), await stored(database)
    all_of_it = len(tables.metadata.tables)
    assert await delete_tenant(database, mine, max_rows=100) == Deletion(all_of_it, done=True)
    assert set((await counts(database, mine)).values()) == {0}
    assert set((await counts(database, other)).values()) == {1}
    assert await delete_tenant(database, mine, max_rows=100) == Deletion(0, done=True)


async def test_a_deletion_goes_on_where_it_was_interrupted_children_before_parents(database: Database) -> None:
    tenant, _ = await stored(database)
    batches = await delete(database, tenant, max_rows=1)
    assert [item.deleted for item in batches if item.deleted] == [1] * len(tables.metadata.tables)
    assert set((await counts(database, tenant)).values()) == {0}


async def test_replicas_of_the_version_before_can_delete_a_tenant_too(
    database: Database, postgres: PostgresDatabase
) -> None:
    mine, _ = await stored(database)
    other, _ = await stored(database)
    await functions.mark_tenant_deleted(database, mine)
    async with connected(postgres.admin) as connection:
        await connection.execute("set session authorization agentic_app")
        await connection.execute("select delete_tenant($1)", mine)
    assert set((await counts(database, mine)).values()) == {0}
    assert 0 not in (await counts(database, other)).values()


async def _executed(database: Database, statement: str, **values: Any) -> None:
    async with database.platform() as connection:
        await connection.execute(sa.text(statement), values)


async def test_a_tenant_that_no_earlier_transaction_has_marked_is_not_deleted(database: Database) -> None:
    tenant, _ = await stored(database)
    before = await counts(database, tenant)
    with pytest.raises(DBAPIError, match="not marked as deleted; its rows are kept"):
        await functions.delete_tenant(database, tenant, max_rows=100)
    both = (
        "with marked as materialized (select mark_tenant_deleted(:tenant)) select delete_tenant(:tenant, 9) from marked"
    )
    with pytest.raises(DBAPIError, match="not marked as deleted"):
        await _executed(database, both, tenant=tenant)
    assert await counts(database, tenant) == before


async def test_the_platforms_own_tenant_stays(database: Database) -> None:
    with pytest.raises(DBAPIError, match="cannot be deleted"):
        await functions.delete_tenant(database, PLATFORM_TENANT, max_rows=1)
    assert (await counts(database, PLATFORM_TENANT))["tenants"] == 1


@pytest.mark.parametrize(
    ("rows_of_it", "max_rows"),
    [(10_000, 300), pytest.param(1_000_000, 5000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
async def test_a_large_tenant_is_deleted_in_bounded_batches_without_reading_other_rows(
    database: Database, postgres: PostgresDatabase, rows_of_it: int, max_rows: int
) -> None:
    large, other = uuid4(), uuid4()
    async with connected(postgres.admin) as connection:
        for tenant, size in ((other, 10_000), (large, rows_of_it)):
            await connection.execute(FILL.format(tenant=tenant, runs=size // ROWS_OF_A_RUN))
    before = await counts(database, other)
    total = sum((await counts(database, large)).values())
    assert total >= rows_of_it
    batches = await delete(database, large, max_rows=max_rows)
    assert sum(item.deleted for item in batches) == total
    assert len(batches) <= total // max_rows + 2, "all but the last are full"
    for item in batches:
        assert item.deleted == item.really_deleted <= max_rows
        assert item.sequential == 0
        assert item.fetched <= 8 * max_rows, "each reads what it deletes, not what is left or was"
    assert set((await counts(database, large)).values()) == {0}
    assert await counts(database, other) == before


async def test_while_a_batch_is_open_other_tenants_are_served_and_other_replicas_do_not_wait(
    database: Database,
) -> None:
    (mine, _), (other, _) = await stored(database), await stored(database)
    async with asyncio.timeout(10), batch(database, mine, max_rows=5) as first:
        assert (first.deleted, first.done) == (5, False)
        assert await delete_tenant(database, mine, max_rows=5) == Deletion(0, done=False)
        assert await delete_tenant(database, other, max_rows=1) == Deletion(1, done=False)
        third, _ = await stored(database)
        assert set((await counts(database, third)).values()) == {1}
    assert sum(item.deleted for item in await delete(database, mine)) == len(tables.metadata.tables) - 5


async def test_replicas_at_once_delete_each_row_once(database: Database, postgres: PostgresDatabase) -> None:
    large = uuid4()
    async with connected(postgres.admin) as connection:
        await connection.execute(FILL.format(tenant=large, runs=50))
    total = sum((await counts(database, large)).values())
    deleted = await asyncio.gather(*(delete(database, large, max_rows=20) for _ in range(4)))
    assert sum(item.deleted for batches in deleted for item in batches) == total
    assert all(item.deleted == item.really_deleted <= 20 for batches in deleted for item in batches)


async def test_rows_that_a_transaction_has_locked_are_left_with_what_they_refer_to_and_deleted_later(
    database: Database,
) -> None:
    tenant, _ = await stored(database)
    async with asyncio.timeout(10), database.session(tenant) as session:
        await session.execute(sa.select(tables.runs).with_for_update())
        assert not (await delete_tenant(database, tenant, max_rows=100)).done
        left = {name for name, count in (await counts(database, tenant)).items() if count}
        assert left == {"tenants", "agents", "conversations", "runs"}
    assert await delete_tenant(database, tenant, max_rows=100) == Deletion(4, done=True)


async def test_what_is_added_to_a_run_meanwhile_is_deleted_too_and_never_by_a_cascade(database: Database) -> None:
    tenant, values = await stored(database)
    async with asyncio.timeout(10), database.session(tenant) as session:
        await session.execute(sa.insert(tables.run_events).values(values[tables.run_events] | {"seq": 2}))
        async with batch(database, tenant) as first:
            assert first.deleted == first.really_deleted == len(tables.metadata.tables) - 4
    async with batch(database, tenant, max_rows=2) as second:
        assert (second.deleted, second.really_deleted, second.done) == (2, 2, False)
    assert [item.deleted for item in await delete(database, tenant)] == [3]


async def test_a_late_row_is_deleted_or_refused_and_never_left(database: Database) -> None:
    tenant, values = await stored(database)
    async with asyncio.timeout(10), database.session(tenant) as session:
        await session.execute(sa.insert(tables.usage).values(values[tables.usage] | {"id": uuid7()}))
        first = await delete_tenant(database, tenant, max_rows=100)
        assert first == Deletion(len(tables.metadata.tables) - 1, done=False), "the writer may still commit"
        assert await delete_tenant(database, tenant, max_rows=100) == Deletion(0, done=False)
    assert await delete_tenant(database, tenant, max_rows=100) == Deletion(2, done=True)
    assert set((await counts(database, tenant)).values()) == {0}


async def test_a_row_that_meets_the_end_of_its_tenant_waits_for_it_and_is_refused(database: Database) -> None:
    tenant, values = await stored(database)

    async def append() -> None:
        async with database.session(tenant) as session:
            await session.execute(sa.insert(tables.usage).values(values[tables.usage] | {"id": uuid7()}))

    async with asyncio.timeout(10):
        async with batch(database, tenant) as last:
            assert last.done
            late = asyncio.create_task(append())
            await _until_a_lock_is_waited_for(database)
        with pytest.raises(DBAPIError, match="not found"):
            await late
    assert set((await counts(database, tenant)).values()) == {0}


async def _until_a_lock_is_waited_for(database: Database) -> None:
    waiting = sa.text("select count(*) from pg_locks where not granted and locktype = 'advisory'")
    while True:
        async with database.platform() as connection:
            if (await connection.execute(waiting)).scalar_one():
                return


@pytest.mark.parametrize(
    "table",
    [table for table in tables.metadata.sorted_tables if table is not tables.tenants],
    ids=lambda table: str(table.name),
)
async def test_nothing_is_written_for_a_deleted_tenant(database: Database, table: sa.Table) -> None:
    tenant, values = await stored(database)
    await delete(database, tenant)
    with pytest.raises(DBAPIError) as refused:
        async with database.session(tenant) as session:
            await session.execute(sa.insert(table).values(**values[table]))
    assert "ForeignKeyViolation" in str(refused.value)
    assert faults.violated(refused.value).startswith(table.name)


TREE = """
create table trees (
    tenant_id uuid not null,
    id integer not null,
    parent integer,
    agent_id uuid,
    primary key (tenant_id, id),
    foreign key (tenant_id, parent) references trees,
    foreign key (tenant_id, agent_id) references agents
)
"""
LEAVES = """
create table leaves (
    tenant_id uuid not null,
    tree integer not null,
    id integer not null,
    primary key (tenant_id, tree, id),
    foreign key (tenant_id, tree) references trees on delete cascade
)
"""


async def test_a_table_of_a_later_migration_is_emptied_too(database: Database, postgres: PostgresDatabase) -> None:
    def migrate(connection: sa.Connection) -> None:
        connection.exec_driver_sql("set role agentic_owner")
        for name, statement in (("trees", TREE), ("leaves", LEAVES)):
            connection.exec_driver_sql(statement)
            tenant_table(connection, name, grants=["select", "insert"])

    migrator = Database(postgres.migrator)
    async with migrator.engine.begin() as connection:
        await connection.run_sync(migrate)
    await migrator.close()
    (mine, values), (other, _) = await stored(database), await stored(database)
    for tenant in (mine, other):
        agent = values[tables.agents]["id"] if tenant == mine else None
        async with database.session(tenant) as session:
            tree = sa.text("insert into trees select :tenant, n, nullif(n - 1, 0), :agent from generate_series(1, 5) n")
            await session.execute(tree.bindparams(sa.bindparam("agent", agent, sa.Uuid)), {"tenant": tenant})
            await session.execute(
                sa.text("insert into leaves select :tenant, 1 + n % 5, n from generate_series(1, 50) n"),
                {"tenant": tenant},
            )
    batches = await delete(database, mine, max_rows=20)
    assert all(item.deleted == item.really_deleted <= 20 for item in batches)
    assert sum(item.deleted for item in batches) == len(tables.metadata.tables) + 55
    for tenant, expected in ((mine, 0), (other, 55)):
        async with database.session(tenant) as session:
            both = sa.text("select (select count(*) from trees) + (select count(*) from leaves)")
            assert (await session.execute(both)).scalar_one() == expected
