"""The connections and the sessions, each bound to one tenant; composition roots make one `Database` a process."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from agentic_core.db import direct, faults
from agentic_core.db.direct import Transaction
from agentic_core.db.shares import ReadShares, ReadTooSlow, StatementTimeouts

PLATFORM_TENANT = UUID(int=0)
"""The tenant of what belongs to the platform itself, such as the keys of its administrators."""

CONNECT_SECONDS = 5.0
"""Seconds after which a server that does not respond counts as unreachable."""
RECYCLE_SECONDS = 300
"""Age at which a connection is replaced, before firewalls and proxies drop what is idle."""


class ConnectionPurpose(Enum):
    """Short statements of the platform, for which connections can be reserved."""

    LEASES = "leases"
    """Extending the leases of runs: one that is late interrupts runs that go on."""
    AUTHENTICATION = "authentication"
    """Looking up keys, and whether the database responds."""


TIMEOUTS = StatementTimeouts()
NOTHING: Mapping[ConnectionPurpose, int] = MappingProxyType({})
Session = AsyncSession
"""A transaction of one tenant. Repositories write into it, `Database.session` commits it."""


class _TenantSession(sqlalchemy.orm.Session):
    """A session whose transactions all have a tenant: without one, beginning a transaction raises."""


@event.listens_for(_TenantSession, "after_begin")
def _set_tenant(session: sqlalchemy.orm.Session, _transaction: Any, connection: sa.Connection) -> None:
    tenant_id = session.info.get("tenant_id")
    if not isinstance(tenant_id, UUID):
        raise RuntimeError(  # noqa: TRY004 - no caller passes a tenant here
            "A transaction needs a tenant: open it with Database.session(tenant_id)."
        )
    connection.exec_driver_sql(
        "select set_config('app.tenant_id', $1, true), set_config('statement_timeout', $2, true)",
        (str(tenant_id), direct.milliseconds(session.info["seconds"])),
    )


def _unique_statement_name() -> str:
    return f"agentic_{uuid4().hex}"


def _close_after_timeout(context: ExceptionContext) -> None:
    """Close the connection whose statement took too long: the server may not respond to a rollback either."""
    if isinstance(context.original_exception, TimeoutError):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def _replace_closed(dbapi_connection: DBAPIConnection, _record: object, _proxy: object) -> None:
    """Connect again instead of handing out a connection that the server closed while it was idle."""
    driver: Any = dbapi_connection
    if driver.driver_connection.is_closed():
        raise DisconnectionError


class Database:
    """The connections of a process: those that all share, and some that are reserved.

    A connection is reserved for one purpose: others may neither use it nor wait in front of it, so that slow reads of
    tenants delay no lease, and no flood of lookups does either. On reserved ones each statement is a transaction.
    """

    def __init__(
        self,
        dsn: str,
        *,
        connections: int = 10,
        reserved: Mapping[ConnectionPurpose, int] = NOTHING,
        transaction_pooler: bool = False,
        connect_timeout: float = CONNECT_SECONDS,
        statement_timeout: float = direct.STATEMENT_SECONDS,
        timeouts: StatementTimeouts = TIMEOUTS,
        reads_per_tenant: int = 4,
    ) -> None:
        """`dsn` is `postgresql://user:password@host:port/database`. `connections` bounds the open connections,
        of which so many are `reserved`; a purpose without any shares the others. Reads of one tenant hold at most
        `reads_per_tenant`. The database ends statements after `timeouts`; one that does not respond within
        `statement_timeout` counts as unavailable.

        With `transaction_pooler` (PgBouncer in transaction mode) no prepared statement outlives its transaction.
        """
        self.dsn = dsn
        arguments: dict[str, Any] = {"timeout": connect_timeout, "command_timeout": statement_timeout}
        if transaction_pooler:
            arguments |= {
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": _unique_statement_name,
            }
        shared = connections - sum(reserved.values())
        if shared < 1:
            raise ValueError(f"{connections} connections leave none to share when {dict(reserved)} are reserved")
        self._timeouts = timeouts
        self._reads = ReadShares(shared, per_tenant=reads_per_tenant)
        self.engine = _engine(dsn, arguments, connections=shared)
        self._reserved = {
            purpose: _engine(dsn, arguments, connections=number, isolation_level="AUTOCOMMIT")
            for purpose, number in reserved.items()
        }

    def session(self, tenant_id: UUID) -> AbstractAsyncContextManager[Session]:
        """A transaction that sees and writes the rows of this tenant only; committed at the end of the block."""
        return self._session(tenant_id, self._timeouts.write)

    @asynccontextmanager
    async def reading(self, tenant_id: UUID) -> AsyncGenerator[Session]:
        """The same for reads of clients, which wait for a share of the connections and are given up sooner.

        Raises `TooManyReads` or `ReadTooSlow`.
        """
        async with self.read_share(tenant_id):
            try:
                async with self._session(tenant_id, self._timeouts.read) as session:
                    yield session
            except DBAPIError as error:
                if faults.is_timeout(error):
                    raise ReadTooSlow(
                        f"The read took longer than {self._timeouts.read:.0f} s in the database; try again later."
                    ) from error
                raise

    def read_share(self, tenant_id: UUID) -> AbstractAsyncContextManager[None]:
        """One of the connections that the tenant's reads may hold at once, for a transaction inside the block."""
        return self._reads.hold(tenant_id)

    @asynccontextmanager
    async def _session(self, tenant_id: UUID, seconds: float) -> AsyncGenerator[Session]:
        session = AsyncSession(
            self.engine,
            sync_session_class=_TenantSession,
            expire_on_commit=False,
            autoflush=False,
            info={"tenant_id": tenant_id, "seconds": seconds},
        )
        async with session, session.begin():
            yield session

    def transaction(self, tenant_id: UUID) -> AbstractAsyncContextManager[Transaction]:
        """The same on the bare driver, at a tenth of the CPU: for statements that every run executes."""
        return direct.transaction(self.engine, tenant_id, seconds=self._timeouts.write)

    @asynccontextmanager
    async def platform(self, purpose: ConnectionPurpose | None = None) -> AsyncGenerator[AsyncConnection]:
        """A transaction of no tenant: it sees no row, and may call the functions of `agentic_core.db.functions`.

        With a purpose it is one short statement, on a connection that is reserved for it if there is any.
        """
        async with self._for(purpose).begin() as connection:
            if purpose is None:
                limit = direct.milliseconds(self._timeouts.background)
                await connection.exec_driver_sql("select set_config('statement_timeout', $1, true)", (limit,))
            yield connection

    async def ready(self) -> None:
        """Return when the database responds; raises SQLAlchemy's error when it does not."""
        async with self.platform(ConnectionPurpose.AUTHENTICATION) as connection:
            await connection.exec_driver_sql("select 1")

    async def close(self) -> None:
        """Close all connections."""
        for engine in (self.engine, *self._reserved.values()):
            await engine.dispose()

    def _for(self, purpose: ConnectionPurpose | None) -> AsyncEngine:
        return self.engine if purpose is None else self._reserved.get(purpose, self.engine)


def _engine(dsn: str, arguments: dict[str, Any], *, connections: int, **options: Any) -> AsyncEngine:
    engine = create_async_engine(
        make_url(dsn).set(drivername="postgresql+asyncpg"),
        pool_size=connections,
        max_overflow=0,
        pool_use_lifo=True,
        pool_recycle=RECYCLE_SECONDS,
        connect_args=arguments,
        **options,
    )
    event.listen(engine.sync_engine, "handle_error", _close_after_timeout)
    event.listen(engine.sync_engine, "checkout", _replace_closed)
    return engine


def tenant_of(session: Session) -> UUID:
    """The tenant that a session belongs to."""
    tenant_id: UUID = session.info["tenant_id"]
    return tenant_id
