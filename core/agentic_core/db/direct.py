"""Transactions on the bare driver, for the few statements that every run pays for; `Database` opens them.

Row-level security holds as everywhere: the tenant is set in the same round trip that begins the transaction.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}
"""By itself PostgreSQL plans these statements anew each time, for what few rows they have: it costs more than running
them. They find rows by the leading columns of indexes, so that no value of a parameter makes for another plan."""

STATEMENT_SECONDS = 30.0
"""How long a statement may take: a database that went silent, as behind a network that broke, counts as unavailable."""


class Transaction:
    """A transaction of one tenant."""

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """The rows of a statement whose first parameter is the tenant. JSON columns are text."""
        rows: list[Any] = await self._connection.fetch(statement, self.tenant_id, *values)
        return rows

    async def fetch_one(self, statement: str, *values: Any) -> Any | None:
        """The first row, None when there is none."""
        return await self._connection.fetchrow(statement, self.tenant_id, *values)


class Direct:
    """A pool of connections of the bare driver, opened with the first transaction."""

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int,
        connect_timeout: float,
        transaction_pooler: bool,
        statement_timeout: float = STATEMENT_SECONDS,
    ) -> None:
        self._open_pool = functools.partial(
            pool,
            dsn,
            connections=pool_size,
            connect_timeout=connect_timeout,
            statement_timeout=statement_timeout,
            transaction_pooler=transaction_pooler,
        )
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, tenant_id: UUID) -> AsyncGenerator[Transaction]:
        """A transaction that is committed at the end of the block."""
        pool = self._pool or await self._open()
        async with pool.acquire() as connection:
            try:
                await connection.execute(
                    f"begin; select set_config('app.tenant_id', '{UUID(int=tenant_id.int)}', true)"
                )
                yield Transaction(connection, tenant_id)
                await connection.execute("commit")
            except TimeoutError:
                connection.terminate()  # nobody answers; nobody would answer a rollback
                raise
            except Exception:
                if not connection.is_closed():
                    await connection.execute("rollback")
                raise
            except BaseException:
                connection.terminate()  # cancelled between two messages: nobody knows the state of the protocol
                raise

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await self._open_pool()
            return self._pool

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()


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
