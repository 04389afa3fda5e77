"""Whether the database itself keeps tenants apart, whatever the code above it does."""

from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from agentic_core.db import PLATFORM_TENANT, Database, engine, roles, tables
from tests.core.db.rows import insert, rows
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase, connected

UNFORCED = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and c.relkind in ('r', 'p', 'm', 'f')
and c.relname <> 'alembic_version' and not (c.relrowsecurity and c.relforcerowsecurity)
"""
NOT_LEADING = """
select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class t on t.oid = i.indrelid join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where n.nspname = 'public' and t.relname <> 'alembic_version' and a.attname <> 'tenant_id' order by 1
"""
NULLABLE = """
select table_name from information_schema.tables t where table_schema = 'public' and table_name <> 'alembic_version'
and not exists (select from information_schema.columns c where c.table_name = t.table_name
                and column_name = 'tenant_id' and data_type = 'uuid' and is_nullable = 'NO')
"""
KEEPING_NO_TENANT = """
select t::text from tenant_tables() t
where not exists (select from pg_trigger g where g.tgrelid = t and g.tgname = 'require_tenant' and g.tgenabled = 'O')
and not exists (
    select from pg_constraint f join pg_attribute a on a.attrelid = t and a.attnum = any (f.conkey)
    where f.conrelid = t and f.contype = 'f' and f.confrelid <> t and a.attname = 'tenant_id'
)
"""
"""Tables whose rows could outlive their tenant."""
REFERENCES = """
select conrelid::regclass::text as child, confrelid::regclass::text as parent from pg_constraint
where contype = 'f' and connamespace = 'public'::regnamespace and conrelid <> confrelid
"""
POLICY = "( SELECT (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid AS \"nullif\")"
APPEND_ONLY = [tables.usage, tables.audit_log, tables.run_events, tables.messages, tables.tool_executions]


@requirement("data-isolation", "tenant-id")
async def test_every_table_has_a_tenant_and_forces_row_level_security(postgres: PostgresDatabase) -> None:
    async with connected(postgres.admin) as connection:
        assert await connection.fetch(UNFORCED) == []
        assert await connection.fetch(NULLABLE) == []
        policies = await connection.fetch("select * from pg_policies where policyname = 'tenant'")
    assert {item["tablename"] for item in policies} == set(tables.metadata.tables)
    for policy in policies:
        assert (policy["roles"], policy["cmd"]) == (["public"], "ALL")
        assert POLICY in policy["qual"]
        assert policy["qual"] == policy["with_check"]


@requirement("tenant-id")
async def test_no_row_outlives_its_tenant(postgres: PostgresDatabase) -> None:
    async with connected(postgres.admin) as connection:
        assert await connection.fetch(KEEPING_NO_TENANT) == []
        emptied = [item["tenant_tables"] for item in await connection.fetch("select tenant_tables()::text")]
        references = await connection.fetch(REFERENCES)
    assert sorted(emptied) == sorted(tables.metadata.tables), "a deletion empties every table"
    assert emptied[-1] == "tenants"
    for child, parent in references:
        assert emptied.index(child) < emptied.index(parent)


async def test_every_index_leads_with_the_tenant(postgres: PostgresDatabase) -> None:
    async with connected(postgres.admin) as connection:
        found = [item["relname"] for item in await connection.fetch(NOT_LEADING)]
    assert found == ["api_keys_id"], "only a key's id is looked up before the tenant is known"


async def test_the_app_is_nobody_special(postgres: PostgresDatabase) -> None:
    async with connected(postgres.admin) as connection:
        found = {item["rolname"]: item for item in await connection.fetch("select * from pg_roles")}
        owned = await connection.fetchval(
            "select count(*) from pg_class where relowner::regrole::text = any ($1::text[])",
            [roles.MIGRATOR, *roles.PROGRAMS, roles.APP],
        )
        memberships = await connection.fetch(
            "select roleid::regrole::text as role, member::regrole::text as member from pg_auth_members"
            " where member::regrole::text like 'agentic%' and member::regrole::text <> 'agentic_tests'"
        )
    assert {role for role in found if role.startswith("agentic") and found[role]["rolcanlogin"]} == {
        roles.MIGRATOR, *roles.PROGRAMS, "agentic_tests"
    }  # fmt: skip
    for role in (roles.OWNER, roles.MIGRATOR, *roles.PROGRAMS, roles.APP):
        powers = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
        assert [power for power in powers if found[role][power]] == [], role
    assert owned == 0
    assert [tuple(one) for one in memberships] == [(roles.OWNER, roles.MIGRATOR)]


async def test_the_app_cannot_change_the_schema(postgres: PostgresDatabase) -> None:
    async with connected(postgres.programs) as connection:
        for statement in (
            "create table t (a int)",
            "alter table runs disable row level security",
            "drop policy tenant on runs",
            "truncate usage",
            f"set role {roles.OWNER}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


@pytest.mark.parametrize("table", tables.metadata.tables.values(), ids=lambda table: str(table.name))
async def test_another_tenants_rows_do_not_exist(database: Database, table: sa.Table) -> None:
    mine, other = uuid4(), uuid4()
    owned, foreign = rows(mine), rows(other)
    async with database.session(mine) as session:
        await insert(session, owned)
    async with database.session(other) as session:
        assert (await session.execute(sa.select(table).where(table.c.tenant_id == mine))).all() == []
    async with database.session(other) as session:
        await insert(session, foreign)
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.session(other) as session:
            await session.execute(sa.insert(table).values(**foreign[table] | {"tenant_id": mine}))


@pytest.mark.parametrize("table", [tables.agents, tables.conversations, tables.runs, tables.api_keys], ids=str)
async def test_another_tenants_rows_cannot_be_written(database: Database, table: sa.Table) -> None:
    mine, other = uuid4(), uuid4()
    async with database.session(mine) as session:
        await insert(session, rows(mine))
    async with database.session(other) as session:
        moved = await session.execute(sa.update(table).values(tenant_id=other))
        assert isinstance(moved, sa.CursorResult)
        assert moved.rowcount == 0
    with pytest.raises(DBAPIError, match=r"row-level security|foreign key"):
        async with database.session(mine) as session:
            await session.execute(sa.update(table).values(tenant_id=other))


@pytest.mark.parametrize("table", APPEND_ONLY, ids=str)
async def test_what_happened_is_not_rewritten_by_any_program(
    database: Database, postgres: PostgresDatabase, table: sa.Table
) -> None:
    mine = uuid4()
    async with database.session(mine) as session:
        await insert(session, rows(mine))
    for dsn in (postgres.api, postgres.gateway):
        program = Database(dsn, connections=1)
        for statement in (sa.delete(table), sa.update(table).values(tenant_id=mine)):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with program.session(mine) as session:
                    await session.execute(statement)
        await program.close()


async def test_nothing_is_seen_or_written_without_a_tenant(database: Database) -> None:
    mine = uuid4()
    async with database.session(mine) as session:
        await insert(session, rows(mine))
    async with database.platform() as connection:
        for table in tables.metadata.tables.values():
            assert (await connection.execute(sa.select(table))).all() == []
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.platform() as connection:
            await connection.execute(sa.insert(tables.tenants).values(tenant_id=mine, name="x"))


async def test_a_transaction_for_nobody_is_refused(database: Database) -> None:
    async with AsyncSession(database.engine, sync_session_class=engine._TenantSession) as session:
        with pytest.raises(RuntimeError, match="needs a tenant"):
            await session.execute(sa.select(tables.runs))


async def test_the_tenant_does_not_outlive_its_transaction(postgres: PostgresDatabase) -> None:
    database = Database(postgres.programs, connections=1)
    async with database.session(uuid4()) as session:
        inside = (await session.execute(sa.text("select current_setting('app.tenant_id')"))).scalar_one()
    async with database.platform() as connection:
        after = (await connection.execute(sa.text("select current_setting('app.tenant_id', true)"))).scalar_one()
    await database.close()
    assert inside
    assert after == ""


async def test_a_transaction_pooler_sees_no_lasting_statement(postgres: PostgresDatabase) -> None:
    database = Database(postgres.programs, connections=1, transaction_pooler=True)
    for _ in range(3):
        async with database.session(PLATFORM_TENANT) as session:
            assert (await session.execute(sa.select(tables.tenants.c.tenant_id))).scalar_one() == PLATFORM_TENANT
            used = (await session.execute(sa.text("select count(*) from pg_prepared_statements"))).scalar_one()
            assert used <= 1, "only the statement that is running"
    await database.close()
