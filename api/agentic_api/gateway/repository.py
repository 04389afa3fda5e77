"""The ledger in PostgreSQL: one statement, and so one round trip and one transaction, for the rows of a tenant.

Its first subquery sets `app.tenant_id` for the transaction and gives each row its tenant, so no row exists before the
setting does; row-level security then checks each row against it. A session would take four round trips and four times
the CPU, in the path of every answer.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import asyncpg

from agentic_api.gateway.usage import UsageRow

COLUMNS: Final = {
    "id": "uuid",
    "run_id": "uuid",
    "provider": "text",
    "model": "text",
    "operation": "text",
    "input_tokens": "int",
    "output_tokens": "int",
    "cost": "numeric",
    "estimated": "bool",
    "status": "text",
    "created_at": "timestamptz",
}
_NAMES = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(COLUMNS.values(), 2))
INSERT: Final = f"""
    insert into usage (tenant_id, {_NAMES})
    select tenant.id::uuid, {", ".join(f"new.{name}" for name in COLUMNS)}
    from (select set_config('app.tenant_id', $1, true) as id offset 0) as tenant
    cross join unnest({_ARRAYS}) as new ({_NAMES})
    on conflict do nothing
"""  # noqa: S608 - made of constants
_values = attrgetter(*COLUMNS)

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 10.0


class UsageRepository:
    """Appends to the usage table."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> None:
        """Commit rows of one tenant; rows that are there already are left alone."""
        columns = zip(*map(_values, rows), strict=True)
        await self._pool.execute(INSERT, str(tenant_id), *columns, timeout=STATEMENT_SECONDS)

    async def ready(self) -> None:
        """Return when the database answers."""
        await self._pool.fetchval("select 1", timeout=CONNECT_SECONDS)


def pool(dsn: str, *, connections: int) -> asyncpg.Pool:
    """The pool, to be entered before its first use. It opens no connection before one is needed."""
    return asyncpg.create_pool(dsn, min_size=0, max_size=connections, timeout=CONNECT_SECONDS, reset=_nothing)


async def _nothing(_connection: Any) -> None:
    """Statements leave nothing behind on a connection: what they set ends with their transaction."""
