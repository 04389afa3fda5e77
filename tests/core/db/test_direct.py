"""Transactions on the bare driver."""

from uuid import uuid4

from agentic_core.db import Database
from tests.support.postgres import PostgresDatabase

STATEMENT = "select count(*) as found from runs where tenant_id = $1 and id = $2::uuid"


async def test_statements_are_planned_once(postgres: PostgresDatabase) -> None:
    database, tenant = Database(postgres.app, pool_size=1), uuid4()
    for _ in range(9):
        async with database.transaction(tenant) as transaction:
            await transaction.fetch_one(STATEMENT, uuid4())
            plans = "select max(generic_plans) g, max(custom_plans) c from pg_prepared_statements where $1 = $1::uuid"
            found = await transaction.fetch_one(f"{plans} and statement like '%as found from runs%'")
    await database.close()
    assert found is not None
    assert tuple(found) == (9, 0)


async def test_behind_a_pooler_no_statement_lasts(postgres: PostgresDatabase) -> None:
    database, tenant = Database(postgres.app, pool_size=1, transaction_pooler=True), uuid4()
    for _ in range(3):
        async with database.transaction(tenant) as transaction:
            await transaction.fetch_one(STATEMENT, uuid4())
            plans = "select count(*) as lasting from pg_prepared_statements where $1 = $1::uuid and name <> ''"
            found = await transaction.fetch_one(f"{plans} and statement like '%as found from runs%'")
            assert found is not None
            assert found["lasting"] == 0
    await database.close()
