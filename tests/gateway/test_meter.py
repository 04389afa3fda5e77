"""The meter, with a ledger that does what the test says."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from agentic_core.db import Database, functions, uuid7
from agentic_gateway.metrics import Metrics
from agentic_gateway.reserve.allowances import Allowances
from agentic_gateway.settle import repository
from agentic_gateway.settle.meter import MOST_ROWS, Entry, Meter
from agentic_gateway.settle.repository import UsageRepository, pool
from agentic_gateway.settle.usage import Outcome, RunState, UsageRow
from tests.gateway import support
from tests.support.postgres import PostgresDatabase
from tests.support.runs import insert_tenant


def row(tenant_id: UUID) -> UsageRow:
    """Some row of a tenant."""
    return UsageRow(
        uuid7(), tenant_id, uuid4(), "p", "m", "chat", 1, 2, Decimal("0.1"), False, Outcome.COMPLETED, datetime.now(UTC)
    )


class Ledger:
    """Keeps rows in memory; fails and waits when told to."""

    def __init__(self) -> None:
        self.batches: list[tuple[UUID, list[UsageRow]]] = []
        self.failures = 0
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> Sequence[RunState]:
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
        self.batches.append((tenant_id, list(rows)))
        return []

    @property
    def rows(self) -> list[UsageRow]:
        """All rows, in order."""
        return [row for _, rows in self.batches for row in rows]


def meter(ledger: Any, **changed: Any) -> Meter:
    values: dict[str, Any] = {"writers": 2, "backlog": 2000, "wait_seconds": 5}
    return Meter(ledger, Allowances(ledger), Metrics(), **values | changed)


async def settle(meter: Meter, entries: Sequence[Entry]) -> None:
    await asyncio.gather(*map(meter.committed, entries))


async def test_rows_that_arrive_together_are_committed_together_by_tenant() -> None:
    ledger = Ledger()
    charging = meter(ledger)
    tenants = [uuid4() for _ in range(3)]
    entries = [charging.record(row(tenants[number % 3])) for number in range(30)]
    await settle(charging, entries)
    assert len(ledger.batches) == 3
    assert all({made.tenant_id for made in rows} == {tenant} for tenant, rows in ledger.batches)
    assert len(ledger.rows) == 30


async def test_a_crowd_is_cut_into_transactions() -> None:
    ledger = Ledger()
    charging = meter(ledger, writers=1)
    tenant = uuid4()
    await settle(charging, [charging.record(row(tenant)) for _ in range(MOST_ROWS * 2 + 1)])
    assert [len(rows) for _, rows in ledger.batches] == [MOST_ROWS, MOST_ROWS, 1]


async def test_a_failed_commit_is_tried_again_in_order() -> None:
    ledger = Ledger()
    ledger.failures = 2
    charging = meter(ledger, writers=1)
    made = [row(UUID(int=1)) for _ in range(3)]
    await settle(charging, [charging.record(one) for one in made])
    assert ledger.rows == made


async def test_nothing_is_spent_while_too_much_waits() -> None:
    ledger = Ledger()
    ledger.open.clear()
    charging = meter(ledger, backlog=2)
    entries = [charging.record(row(uuid4())) for _ in range(2)]
    assert charging.full
    ledger.open.set()
    await settle(charging, entries)
    assert not charging.full


async def test_a_row_that_takes_too_long_goes_to_the_log_and_is_committed_all_the_same(
    capfd: pytest.CaptureFixture[str],
) -> None:
    ledger = Ledger()
    ledger.open.clear()
    charging = meter(ledger, wait_seconds=0.05)
    made = row(uuid4())
    await charging.committed(charging.record(made))
    assert str(made.id) in "".join(capfd.readouterr())
    ledger.open.set()
    await charging.close()
    assert ledger.rows == [made]


async def test_closing_writes_what_waits(capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger()
    charging = meter(ledger, writers=1)
    for _ in range(5):
        charging.record(row(uuid4()))
    await charging.close()
    assert len(ledger.rows) == 5
    ledger.failures = 10**6
    lost = row(uuid4())
    stuck = meter(ledger, wait_seconds=0.05)
    stuck.record(lost)
    await stuck.close()
    assert str(lost.id) in "".join(capfd.readouterr()), "what cannot be written is at least told"


async def test_sums_of_runs_are_exact_whoever_writes_and_however_often(postgres: PostgresDatabase) -> None:
    tenant, runs = await insert_tenant(postgres.app), [uuid4() for _ in range(5)]
    rows = [replace(row(tenant), run_id=run) for run in runs * 20]
    async with pool(postgres.app, connections=8) as connections:
        repository = UsageRepository(connections)
        batches = [rows[at : at + 10][:: -1 if at % 20 else 1] for at in range(0, 100, 10)]
        await asyncio.gather(*(repository.append(tenant, batch) for batch in batches * 2))
        told = await repository.append(tenant, rows[:7])
        assert {(state.tokens, state.running) for state in told} == {(60, False)}, "also for rows that were there"
        assert sorted(await repository.states(tenant, runs), key=str) == sorted(told, key=str)
        assert {state.tokens for state in await repository.states(uuid4(), runs)} == {0}, (
            "another tenant's are not told"
        )


async def test_statements_are_planned_once(postgres: PostgresDatabase) -> None:
    async with pool(postgres.app, connections=1) as connections:
        tenant = await insert_tenant(postgres.app)
        for _ in range(9):
            await UsageRepository(connections).append(tenant, [row(tenant)])
        plans = "select max(generic_plans), max(custom_plans) from pg_prepared_statements where statement ~ $1"
        assert tuple(await connections.fetchrow(plans, "insert into usage")) == (9, 0)


async def test_the_gateway_tells_its_pool_of_a_pooler(
    postgres: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []

    def recorded(dsn: str, *, connections: int, transaction_pooler: bool) -> asyncpg.Pool:
        told.append(transaction_pooler)
        return pool(dsn, connections=connections, transaction_pooler=transaction_pooler)

    monkeypatch.setattr(repository, "pool", recorded)
    for behind in (False, True):
        async with support.gateway(postgres.app, tmp_path, database_pooler=behind):
            assert told[-1] is behind


async def test_behind_a_pooler_no_statement_lasts(postgres: PostgresDatabase) -> None:
    async with pool(postgres.app, connections=1, transaction_pooler=True) as connections:
        repository, tenant = UsageRepository(connections), await insert_tenant(postgres.app)
        for _ in range(3):
            await repository.append(tenant, [row(tenant)])
            await repository.states(uuid4(), [uuid4()])
        assert await connections.fetchval("select count(*) from pg_prepared_statements where name <> ''") == 0


async def test_the_repository_keeps_a_row_once_and_only_for_its_tenant(postgres: PostgresDatabase) -> None:
    first, second = await insert_tenant(postgres.app), await insert_tenant(postgres.app)
    made = [row(first), row(first)]
    async with pool(postgres.app, connections=1) as connections:
        repository = UsageRepository(connections)
        await repository.append(first, made)
        await repository.append(first, [*made, row(first)])
        await repository.append(second, [row(second)])
        for tenant, count in ((first, 3), (second, 1)):
            async with connections.acquire() as connection, connection.transaction():
                await connection.execute("select set_config('app.tenant_id', $1, true)", str(tenant))
                assert await connection.fetchval("select count(*) from usage") == count
        assert await connections.fetchval("select count(*) from usage") == 0, "the tenant ends with the transaction"


async def test_rows_of_a_deleted_tenant_are_dropped_and_its_runs_have_ended(
    database: Database, postgres: PostgresDatabase
) -> None:
    tenant, other = await insert_tenant(postgres.app), await insert_tenant(postgres.app)
    assert (await functions.delete_tenant(database, tenant, max_rows=9)).done
    late = row(tenant)
    async with pool(postgres.app, connections=1) as connections:
        repository = UsageRepository(connections)
        assert await repository.append(tenant, [late]) == [RunState(late.run_id, 0, running=False)]
        assert [state.tokens for state in await repository.append(other, [row(other)])] == [3]
