"""Transactions on the bare driver, for the few statements that every run pays for; `Database` opens them.

They borrow the driver's connection from the pool of the SQLAlchemy engine. The gateway, which has no other statements,
has a pool of the driver's own. Row-level security holds as everywhere: the tenant is set in the same round trip that
begins the transaction.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import EmulatedDBAPIException
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}
"""By itself PostgreSQL plans these statements again each time, for what few rows they have: it costs more than running
them. They find rows by the leading columns of indexes, so that no value of a parameter makes for another plan."""

STATEMENT_SECONDS = 30.0
"""How long a statement may take: a database that went silent, as behind a network that broke, counts as unavailable."""


class Transaction:
    """A transaction of one tenant."""

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """The rows of a statement whose first parameter is the tenant.

        Statements read and write JSON as text (`tool_calls::text`): the engine has made the driver parse it otherwise.
        """
        rows: list[Any] = await self._connection.fetch(statement, self.tenant_id, *values)
        return rows

    async def fetch_one(self, statement: str, *values: Any) -> Any | None:
        """The first row, None when there is none."""
        return await self._connection.fetchrow(statement, self.tenant_id, *values)


def milliseconds(seconds: float) -> str:
    """A time as PostgreSQL's settings take it."""
    return f"{round(seconds * 1000)}ms"


def begin(tenant_id: UUID, *, seconds: float = STATEMENT_SECONDS) -> str:
    """The statement that begins a tenant's transaction, in one round trip; the database ends its statements after so
    many seconds."""
    tenant = UUID(int=tenant_id.int)  # no subclass with a spelling of its own
    plans = "set_config('plan_cache_mode', 'force_generic_plan', true)"
    limit = f"set_config('statement_timeout', '{milliseconds(seconds)}', true)"
    return f"begin; select set_config('app.tenant_id', '{tenant}', true), {plans}, {limit}"


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, tenant_id: UUID, *, seconds: float = STATEMENT_SECONDS
) -> AsyncGenerator[Transaction]:
    """A transaction on a connection of the engine's pool, committed at the end of the block.

    Invariant: a connection goes back to the pool only after a commit or rollback that the server has confirmed. After a
    cancellation or a timeout the state of the protocol is unknown, and the connection is closed.
    """
    pooled = await _taken(engine)
    driver: Any = pooled.driver_connection
    ended = False
    try:
        await driver.execute(begin(tenant_id, seconds=seconds))
        yield Transaction(driver, tenant_id)
        await driver.execute("commit")
        ended = True
    except TimeoutError:
        raise  # the server does not respond: it would not respond to a rollback
    except Exception:
        if not driver.is_closed():
            await driver.execute("rollback")
            ended = True
        raise
    finally:
        if not ended:
            pooled.invalidate()
        pooled.close()


async def _taken(engine: AsyncEngine) -> PoolProxiedConnection:
    """A connection of the pool; raises the driver's own errors, as its statements do."""
    try:
        return await engine.raw_connection()
    except EmulatedDBAPIException as error:
        raise error.driver_exception from error


def pool(
    dsn: str, *, connections: int, connect_timeout: float, statement_timeout: float, transaction_pooler: bool = False
) -> asyncpg.Pool:
    """A pool of the bare driver, to be awaited or entered before its first use. It opens no connection before one is
    needed, and gives up a statement that takes longer than so many seconds.

    With `transaction_pooler` (PgBouncer in transaction mode) no prepared statement outlives its transaction.
    """
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=connections,
        timeout=connect_timeout,
        command_timeout=statement_timeout,
        statement_cache_size=0 if transaction_pooler else 100,
        server_settings={} if transaction_pooler else PLANNED_ONCE,
        reset=_nothing,
    )


async def _nothing(_connection: Any) -> None:
    """A connection between transactions has no state: all settings are local to them."""
