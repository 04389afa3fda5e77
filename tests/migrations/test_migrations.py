"""The migrations: one history, safe to run by several at once, and in agreement with the tables that the code uses."""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from agentic_core.db import Database, migrate, roles, tables
from tests.requirements import requirement
from tests.support.postgres import Postgres, PostgresDatabase


@pytest.fixture
async def empty(postgres_server: Postgres) -> AsyncGenerator[PostgresDatabase]:
    """A database without tables."""
    fresh = await postgres_server.fresh(migrated=False)
    yield fresh
    await postgres_server.drop(fresh)


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", migrate.SCRIPTS)
    return ScriptDirectory.from_config(config)


def test_the_history_is_one_line() -> None:
    assert len(scripts().get_heads()) == 1


@requirement("schema-tables", "tenant-id")
async def test_migrations_make_the_tables_that_the_code_uses(postgres: PostgresDatabase) -> None:
    database = Database(postgres.migrator)

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, tables.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_many_migrators_at_once_migrate_once(empty: PostgresDatabase) -> None:
    await asyncio.gather(*(migrate.upgrade(empty.migrator) for _ in range(5)))
    connection = await asyncpg.connect(empty.admin)
    assert await connection.fetchval("select version_num from alembic_version") == scripts().get_current_head()
    owners = await connection.fetch("select distinct tableowner from pg_tables where schemaname = 'public'")
    await connection.close()
    assert [item["tableowner"] for item in owners] == [roles.OWNER]


async def test_a_failed_migration_leaves_nothing(empty: PostgresDatabase) -> None:
    connection = await asyncpg.connect(empty.admin)
    await connection.execute("create table usage (a int)")
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate.upgrade(empty.migrator)
    names = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    await connection.close()
    assert [item["tablename"] for item in names] == ["usage"]


async def test_the_app_cannot_migrate(empty: PostgresDatabase) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
        await migrate.upgrade(empty.api)


async def test_roles_can_be_created_again(postgres_server: Postgres, postgres: PostgresDatabase) -> None:
    await postgres_server.create_roles(postgres.name)
    database = Database(postgres.api)
    await database.ready()
    await database.close()
