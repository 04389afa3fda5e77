"""What a migration says of a new table to make it one of tenants."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from agentic_migrations.tenancy import tenant_table
from sqlalchemy.exc import DBAPIError

from agentic_core.db import Database
from tests.support.postgres import PostgresDatabase

REFERRING = "foreign key (tenant_id, run_id) references runs"
NOTES = "create table notes (tenant_id uuid not null, id integer, run_id uuid {null}, primary key ({key}){more})"
SECURITY = "select relrowsecurity, relforcerowsecurity from pg_class where oid = 'notes'::regclass"
POLICIES = """
select tablename, cmd, roles, qual, with_check from pg_policies
where tablename in ('notes', 'runs') and policyname = 'tenant'
"""
TRIGGERS = "select count(*) from pg_trigger where tgrelid = 'notes'::regclass and tgname = 'require_tenant'"
GRANTS = """
select privilege_type from information_schema.role_table_grants where table_name = 'notes' and grantee = 'agentic_app'
"""
GRANTS_OF_PROGRAMS = """
select grantee, privilege_type from information_schema.role_table_grants
where table_name = 'notes' and grantee in ('agentic_api', 'agentic_gateway', 'agentic_app')
"""


async def migrated(
    postgres: PostgresDatabase,
    look: Callable[[sa.Connection], Any] = lambda _connection: None,
    *,
    null: str = "not null",
    key: str = "tenant_id, id",
    more: str = "",
    grants: Sequence[str] = ("select", "insert"),
    to: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Any:
    """What `look` finds once there is a table of notes."""

    def migrate(connection: sa.Connection) -> Any:
        connection.exec_driver_sql("set local role agentic_owner")
        connection.exec_driver_sql(NOTES.format(null=null, key=key, more=more and f", {more}"))
        tenant_table(connection, "notes", grants=grants, to=to)
        return look(connection)

    database = Database(postgres.migrator)
    try:
        async with database.engine.begin() as connection:
            return await connection.run_sync(migrate)
    finally:
        await database.close()


async def test_a_table_is_secured_as_those_of_the_first_migration(postgres: PostgresDatabase) -> None:
    def look(connection: sa.Connection) -> Any:
        assert connection.exec_driver_sql(SECURITY).one() == (True, True)
        return connection.exec_driver_sql(POLICIES).all()

    notes, runs = sorted(await migrated(postgres, look), key=lambda policy: str(policy.tablename))
    assert notes[1:] == runs[1:]


@pytest.mark.parametrize("grants", [(), ("select",), ("select", "insert", "update", "delete")])
async def test_the_app_may_do_what_is_granted_and_no_more(postgres: PostgresDatabase, grants: Sequence[str]) -> None:
    found = await migrated(
        postgres, lambda connection: connection.exec_driver_sql(GRANTS).scalars().all(), grants=grants
    )
    assert sorted(found) == sorted(grant.upper() for grant in grants)


@pytest.mark.parametrize(
    ("to", "granted"),
    [
        ({}, set[tuple[str, str]]()),
        ({"agentic_gateway": ("insert",)}, {("agentic_gateway", "INSERT")}),
        (
            {"agentic_api": ("select", "update"), "agentic_gateway": ("select",)},
            {("agentic_api", "SELECT"), ("agentic_api", "UPDATE"), ("agentic_gateway", "SELECT")},
        ),
    ],
)
async def test_each_program_may_do_what_is_granted_to_its_role(
    postgres: PostgresDatabase, to: dict[str, Sequence[str]], granted: set[tuple[str, str]]
) -> None:
    def look(connection: sa.Connection) -> Any:
        return {tuple(row) for row in connection.exec_driver_sql(GRANTS_OF_PROGRAMS)}

    assert await migrated(postgres, look, grants=(), to=to) == granted


async def test_only_roles_of_programs_are_granted_anything(postgres: PostgresDatabase) -> None:
    with pytest.raises(ValueError, match="no roles of programs: public"):
        await migrated(postgres, to={"public": ("select",)})


@pytest.mark.parametrize(
    ("null", "more", "triggers"),
    [("not null", "", 1), ("not null", REFERRING, 0), ("", REFERRING, 1)],
    ids=["refers to nothing", "refers to runs", "may refer to a run"],
)
async def test_the_tenant_of_every_row_exists(
    postgres: PostgresDatabase, database: Database, null: str, more: str, triggers: int
) -> None:
    def look(connection: sa.Connection) -> Any:
        return connection.exec_driver_sql(TRIGGERS).scalar_one()

    assert await migrated(postgres, look, null=null, more=more) == triggers
    run = None if triggers and more else uuid4()
    note = sa.text("insert into notes values (:tenant, 1, :run)").bindparams(sa.bindparam("run", run, sa.Uuid))
    with pytest.raises(DBAPIError, match="ForeignKeyViolation"):
        async with database.session(tenant := uuid4()) as session:
            await session.execute(note, {"tenant": tenant})


@pytest.mark.parametrize("key", ["id", "id, tenant_id"])
async def test_a_primary_key_that_does_not_lead_with_the_tenant_is_refused(
    postgres: PostgresDatabase, key: str
) -> None:
    with pytest.raises(ValueError, match='"notes" must lead with tenant_id'):
        await migrated(postgres, key=key)
