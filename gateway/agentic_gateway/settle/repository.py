"""Usage in PostgreSQL: one statement, and so one round trip and one transaction, for the rows of a tenant.

Its first subquery sets `app.tenant_id` for the transaction and gives each row its tenant, so no row is written or read
before the setting is made; row-level security then checks each row against it. A session would take four round trips
and four times the CPU, in the path of every response.
"""

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Final
from uuid import UUID

import asyncpg

from agentic_core import telemetry
from agentic_core.db import direct
from agentic_gateway.ledger import UsageRow
from agentic_gateway.settle import rejections
from agentic_gateway.settle.usage import RunTotals

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
_TENANT = "select set_config('app.tenant_id', $1, true)::uuid as id"
_RUNNING = """coalesce(
    (select r.status = 'running' and not r.cancel_requested from runs r
     where r.tenant_id = tenant.id and r.id = wanted.run_id), false) as running"""
_BEFORE = "(select t.tokens from run_tokens t where t.tenant_id = tenant.id and t.run_id = wanted.run_id)"
INSERT: Final = f"""
    with tenant as materialized ({_TENANT}), new as (
        insert into usage (tenant_id, {_NAMES})
        select tenant.id, {", ".join(f"new.{name}" for name in COLUMNS)}
        from tenant cross join unnest({_ARRAYS}) as new ({_NAMES})
        on conflict do nothing
        returning tenant_id, run_id, input_tokens::bigint + output_tokens as tokens
    ), counted as (
        insert into run_tokens as t (tenant_id, run_id, tokens)
        select tenant_id, run_id, sum(tokens) from new group by tenant_id, run_id order by run_id
        on conflict (tenant_id, run_id) do update set tokens = t.tokens + excluded.tokens
        returning run_id, tokens
    )
    select wanted.run_id, coalesce(counted.tokens, {_BEFORE}, 0) as tokens, {_RUNNING}
    from tenant cross join (select distinct unnest($3::uuid[]) as run_id) wanted left join counted using (run_id)
"""  # noqa: S608 - made of constants
"""Sums are counted in the order of the runs, so that two of these never wait for each other."""
TOTALS: Final = f"""
    select wanted.run_id, coalesce({_BEFORE}, 0) as tokens, {_RUNNING}
    from ({_TENANT} offset 0) as tenant cross join unnest($2::uuid[]) as wanted (run_id)
"""  # noqa: S608 - made of constants
DEAD_LETTER: Final = f"""
    insert into usage_dead_letters (tenant_id, id, "row", error)
    select tenant.id, $2, $3::jsonb, $4 from ({_TENANT} offset 0) as tenant
    on conflict do nothing
"""  # noqa: S608 - made of constants
_values = attrgetter(*COLUMNS)
log = telemetry.logger(__name__)

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 10.0
LOOK_UP_SECONDS: Final = 2.0
"""A call waits for what its run has used, so not for long."""


class UsageRepository:
    """Appends to the usage table, and reads the totals of runs."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> Sequence[RunTotals]:
        """Commit rows of one tenant; rows that are there already are left alone. Returns the totals of their runs.

        Rows of a tenant that has been deleted are dropped, as its other rows were; its runs have ended.
        """
        columns = zip(*map(_values, rows), strict=True)
        try:
            found = await self._pool.fetch(INSERT, str(tenant_id), *columns)
        except asyncpg.ForeignKeyViolationError:
            log.warning("usage of a deleted tenant dropped", tenant_id=str(tenant_id), rows=len(rows))
            return [RunTotals(run_id, 0, running=False) for run_id in {row.run_id for row in rows} if run_id]
        return [RunTotals(*item) for item in found]

    async def totals(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Sequence[RunTotals]:
        """The totals of runs of one tenant, whether they exist or not."""
        async with asyncio.timeout(LOOK_UP_SECONDS):
            found = await self._pool.fetch(TOTALS, str(tenant_id), run_ids)
        return [RunTotals(*item) for item in found]

    async def dead_letter(self, row: UsageRow, error: str) -> None:
        """Store a row that `append` cannot store; one that is there already is left alone."""
        await self._pool.execute(DEAD_LETTER, str(row.tenant_id), row.id, rejections.as_text(row), error)

    async def ready(self) -> None:
        """Returns when the database responds."""
        await self._pool.fetchval("select 1", timeout=CONNECT_SECONDS)


def pool(dsn: str, *, connections: int, transaction_pooler: bool = False) -> asyncpg.Pool:
    """The gateway's pool, with its time limits."""
    return direct.pool(
        dsn,
        connections=connections,
        connect_timeout=CONNECT_SECONDS,
        statement_timeout=STATEMENT_SECONDS,
        transaction_pooler=transaction_pooler,
    )
