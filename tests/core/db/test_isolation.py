"""Whether the database itself keeps tenants apart, whatever the code above it does."""

from uuid import uuid4

import asyncpg
import sqlalchemy as sa

from agentic_core.db import Database, tables
from tests.support.postgres import PostgresDatabase

UNFORCED = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
and not (c.relrowsecurity and c.relforcerowsecurity)
"""
LEADING = """
select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where n.nspname = 'public' and a.attname <> 'tenant_id' order by 1
"""


async def test_every_table_forces_row_level_security(postgres: PostgresDatabase) -> None:
    connection = await asyncpg.connect(postgres.admin)
    assert await connection.fetch(UNFORCED) == []
    assert await connection.fetchval("select count(*) from pg_policies where policyname = 'tenant'") == len(
        tables.metadata.tables
    )
    await connection.close()


async def test_smoke(database: Database) -> None:
    async with database.session(uuid4()) as session:
        assert (await session.execute(sa.select(tables.runs))).all() == []
