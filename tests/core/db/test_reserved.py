"""Connections that are reserved for short statements of the platform, whatever the shared ones are used for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import pytest
import sqlalchemy as sa

from agentic_core.db import ConnectionPurpose, Database, functions
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

RESERVED = {ConnectionPurpose.LEASES: 1, ConnectionPurpose.AUTHENTICATION: 2}
PID = sa.text("select pg_backend_pid()")


@asynccontextmanager
async def saturated(database: Database, *, connections: int) -> AsyncGenerator[None]:
    """Reads that use all shared connections inside the block, and more that wait for one."""
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            opened = await stack.enter_async_context(database.session(uuid4()))
            await opened.execute(PID)
        waiting = [asyncio.create_task(_pid(database, None)) for _ in range(50)]
        await asyncio.sleep(0)
        yield
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)


async def _pid(database: Database, purpose: ConnectionPurpose | None) -> int:
    async with database.platform(purpose) as connection:
        found: int = (await connection.execute(PID)).scalar_one()
        return found


async def test_short_statements_of_the_platform_do_not_wait_for_reads(postgres: PostgresDatabase) -> None:
    database = Database(postgres.programs, connections=5, reserved=RESERVED)
    async with saturated(database, connections=2), asyncio.timeout(PATIENCE):
        for _ in range(20):
            assert await functions.find_api_key(database, "unknown") is None
            assert await functions.extend_leases(database, uuid4(), [uuid4()], seconds=9) == []
            await database.ready()
    await database.close()


async def test_no_purpose_uses_the_connections_of_another(postgres: PostgresDatabase) -> None:
    database = Database(postgres.programs, connections=5, reserved=RESERVED)
    pids = {
        purpose: set(await asyncio.gather(*(_pid(database, purpose) for _ in range(30))))
        for purpose in (None, *ConnectionPurpose)
    }
    assert {purpose: len(found) for purpose, found in pids.items()} == {None: 2} | RESERVED
    assert len(set.union(*pids.values())) == 5
    await database.close()


async def test_a_lookup_that_hangs_delays_no_lease(postgres: PostgresDatabase) -> None:
    database = Database(postgres.programs, connections=5, reserved=RESERVED)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(database.platform(ConnectionPurpose.AUTHENTICATION))
        async with asyncio.timeout(PATIENCE):
            assert await functions.extend_leases(database, uuid4(), [uuid4()], seconds=9) == []
    await database.close()


async def test_without_reserved_connections_all_are_shared(postgres: PostgresDatabase) -> None:
    database = Database(postgres.programs, connections=1)
    assert {await _pid(database, purpose) for purpose in (None, *ConnectionPurpose)} == {await _pid(database, None)}
    await database.close()


def test_some_connections_have_to_be_shared(postgres: PostgresDatabase) -> None:
    with pytest.raises(ValueError, match="3 connections leave none to share"):
        Database(postgres.programs, connections=3, reserved=RESERVED)
