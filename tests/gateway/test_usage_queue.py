"""The usage queue, with a store that does what the test says, and with PostgreSQL."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from agentic_core.db import Database
from agentic_gateway.metrics import GatewayMetrics
from agentic_gateway.problems import UsageBacklog
from agentic_gateway.settle.repository import UsageRepository, pool
from agentic_gateway.settle.usage import RunTotals
from agentic_gateway.settle.usage_queue import MAX_ROWS
from tests.core.db.rows import delete_tenant
from tests.gateway import support
from tests.gateway.scripted_store import ScriptedStore, add, row, settle, usage_queue
from tests.support.postgres import PostgresDatabase
from tests.support.runs import insert_tenant
from tests.support.waiting import PATIENCE


async def test_rows_that_arrive_together_are_committed_together_by_tenant() -> None:
    store = ScriptedStore()
    tenants = [uuid4() for _ in range(3)]
    await settle(add(usage_queue(store), *(row(tenants[number % 3]) for number in range(30))))
    assert len(store.batches) == 3
    assert all({made.tenant_id for made in rows} == {tenant} for tenant, rows in store.batches)
    assert len(store.rows) == 30


async def test_a_crowd_is_cut_into_transactions() -> None:
    store = ScriptedStore()
    tenant = uuid4()
    await settle(add(usage_queue(store, writers=1), *(row(tenant) for _ in range(MAX_ROWS * 2 + 1))))
    assert [len(rows) for _, rows in store.batches] == [MAX_ROWS, MAX_ROWS, 1]


async def test_a_failed_commit_is_tried_again_in_order() -> None:
    store = ScriptedStore()
    store.failures = 2
    made = [row(UUID(int=1)) for _ in range(3)]
    await settle(add(usage_queue(store, writers=1), *made))
    assert store.rows == made


@pytest.mark.parametrize("tenants", [1, 2, 5])
async def test_nothing_is_spent_while_too_much_waits_and_no_tenant_takes_the_share_of_another(tenants: int) -> None:
    store = ScriptedStore()
    store.open.clear()
    queue = usage_queue(store, backlog=10)
    some = [uuid4() for _ in range(tenants)]
    queued = add(queue, *(row(some[number % tenants]) for number in range(9)))
    for tenant in some:
        queue.check_room(tenant)
    queued += add(queue, *(row(tenant) for tenant in some))
    for tenant in some:
        with pytest.raises(UsageBacklog):
            queue.check_room(tenant)
    queue.check_room(uuid4())
    store.open.set()
    await settle(queued)
    for tenant in some:
        queue.check_room(tenant)


async def test_a_flood_of_one_tenant_leaves_others_their_share() -> None:
    store = ScriptedStore()
    store.open.clear()
    queue = usage_queue(store, backlog=100)
    flood, other = uuid4(), uuid4()
    queued = add(queue, *(row(flood) for _ in range(100)))
    for _ in range(50):
        queue.check_room(other)
        queued += add(queue, row(other))
    with pytest.raises(UsageBacklog):
        queue.check_room(other)
    store.open.set()
    await settle(queued)


async def test_a_row_that_takes_too_long_goes_to_the_log_and_is_committed_all_the_same(
    log_text: Callable[[], str],
) -> None:
    store = ScriptedStore()
    store.open.clear()
    queue = usage_queue(store, wait_seconds=0.05)
    made = row(uuid4())
    await settle(add(queue, made))
    assert str(made.id) in log_text()
    store.open.set()
    await queue.aclose()
    assert store.rows == [made]


async def test_closing_writes_what_waits(log_text: Callable[[], str]) -> None:
    store = ScriptedStore()
    queue = usage_queue(store, writers=1)
    add(queue, *(row(uuid4()) for _ in range(5)))
    await queue.aclose()
    assert len(store.rows) == 5
    store.failures = 10**6
    lost = row(uuid4())
    stuck = usage_queue(store, wait_seconds=0.05)
    add(stuck, lost)
    await stuck.aclose()
    assert str(lost.id) in log_text(), "what cannot be written is at least in the log"


async def test_closing_does_not_wait_for_batches_that_are_retried_later() -> None:
    store = ScriptedStore()
    queue = usage_queue(store)
    tenant, other = uuid4(), uuid4()
    made = [row(tenant) for _ in range(8)]
    store.poison = {made[5].id}
    add(queue, *made)
    async with asyncio.timeout(PATIENCE):
        while not queue._delayed:
            await asyncio.sleep(0)
    add(queue, row(other))
    await queue.aclose()
    assert len(store.rows) == 8
    assert store.letters == [made[5]]


@pytest.mark.parametrize("size", [1, 2, 7, MAX_ROWS])
@pytest.mark.parametrize("bad", [1, 3])
async def test_rows_that_are_rejected_become_dead_letters_and_all_others_are_committed_once(
    size: int, bad: int
) -> None:
    store = ScriptedStore()
    tenant = uuid4()
    made = [row(tenant) for _ in range(size)]
    poison = made[:: max(1, size // bad)][:bad]
    store.poison = {one.id for one in poison}
    metrics = GatewayMetrics()
    queue = usage_queue(store, metrics=metrics)
    await settle(add(queue, *made))
    assert sorted(store.rows, key=str) == sorted((one for one in made if one not in poison), key=str)
    assert sorted(store.letters, key=str) == sorted(poison, key=str)
    assert metrics.registry.get_sample_value("agentic_gateway_usage_dead_letters_total") == len(poison)
    assert metrics.registry.get_sample_value("agentic_gateway_usage_pending") == 0
    queue.check_room(tenant)


async def test_rows_that_follow_a_rejected_one_do_not_wait_for_it() -> None:
    """Nor do those of other tenants, though there is one writer."""
    store = ScriptedStore()
    queue = usage_queue(store, writers=1)
    poison = [row(UUID(int=number)) for number in range(3) for _ in range(20)]
    store.poison = {one.id for one in poison}
    rejected = add(queue, *poison)
    async with asyncio.timeout(PATIENCE):
        while len(queue._delayed) < 3:
            await asyncio.sleep(0)
    good = [row(UUID(int=number)) for number in range(6)]
    await settle(add(queue, *good))
    assert sorted(store.rows, key=str) == sorted(good, key=str)
    assert not any(one.finished.done() for one in rejected), "they were committed first"
    await settle(rejected)
    assert len(store.letters) == 60


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UndefinedColumnError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.InvalidPasswordError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.DeadlockDetectedError,
        asyncpg.LockNotAvailableError,
        asyncpg.InternalServerError,
    ],
    ids=lambda kind: kind.__name__,
)
async def test_what_is_not_about_the_rows_makes_no_dead_letters(error: type[asyncpg.PostgresError]) -> None:
    """No row could be stored: the schema is not migrated, the database takes no writes; and none is given up."""
    store = ScriptedStore()
    store.failures = 6
    store.error = error("not now")
    made = [row(UUID(int=1)) for _ in range(3)]
    await settle(add(usage_queue(store), *made))
    assert (store.rows, store.letters) == (made, [])


async def test_what_the_driver_cannot_encode_is_the_fault_of_a_row() -> None:
    store = ScriptedStore()
    store.failures = 3
    store.error = asyncpg.exceptions._base.DataError("value out of int32 range")
    made = row(uuid4())
    await settle(add(usage_queue(store), made))
    assert (store.rows, store.letters) == ([], [made])


async def test_a_dead_letter_that_cannot_be_stored_is_in_the_log(log_text: Callable[[], str]) -> None:
    store = ScriptedStore()
    store.letter_error = asyncpg.UndefinedTableError("relation does not exist")
    made = row(uuid4(), input_tokens=10**30, model="odd \0 \ud800")
    store.poison = {made.id}
    await settle(add(usage_queue(store), made))
    logged = next(line for line in log_text().splitlines() if "log only" in line)
    assert all(part in logged for part in (str(made.id), str(10**30), r"odd \\u0000 \\ud800"))


async def test_a_dead_letter_waits_for_a_database_that_is_unavailable() -> None:
    store = ScriptedStore()
    store.letter_error = ConnectionError("the database is unavailable")
    made = row(uuid4())
    store.poison = {made.id}
    queue = usage_queue(store, wait_seconds=0.5)
    (queued,) = add(queue, made)
    await queued
    assert not queued.finished.done()
    store.letter_error = None
    await queued.finished
    assert store.letters == [made]


async def test_rejected_rows_stand_alone_in_postgresql_and_all_others_are_stored_once(
    postgres: PostgresDatabase,
) -> None:
    ill, well = await insert_tenant(postgres.programs), await insert_tenant(postgres.programs)
    too_dear = [row(ill, cost=Decimal(10) ** 12), row(ill, run_id=None), row(ill, input_tokens=2**31)]
    unprintable = row(ill, model="m\0")
    rows = [row(ill) for _ in range(50)]
    rows[10:10] = [*too_dear, unprintable]
    async with pool(postgres.gateway, connections=2) as connections:
        metrics = GatewayMetrics()
        queue = usage_queue(UsageRepository(connections), metrics=metrics)
        queued = add(queue, *rows)
        others = [row(well) for _ in range(20)]
        await settle(add(queue, *others))
        assert not any(one.finished.done() for one in queued[10:14])
        await settle(queued)
        await queue.aclose()
    async with pool(postgres.programs, connections=1) as connections:
        for tenant, count, dead in ((ill, 50, 3), (well, 20, 0)):
            async with connections.acquire() as connection, connection.transaction():
                await connection.execute("select set_config('app.tenant_id', $1, true)", str(tenant))
                assert await connection.fetchval("select count(*) from usage") == count
                letters = await connection.fetch('select id, "row", error from usage_dead_letters order by id')
            assert [letter["id"] for letter in letters] == sorted(one.id for one in too_dear)[:dead]
            for letter in letters:
                assert json.loads(letter["row"])["tenant_id"] == str(tenant)
                assert letter["error"]
        assert await connections.fetchval("select count(*) from usage_dead_letters") == 0, "tenants see only their own"
        assert metrics.registry.get_sample_value("agentic_gateway_usage_dead_letters_total") == 4


async def test_sums_of_runs_are_exact_whoever_writes_and_however_often(postgres: PostgresDatabase) -> None:
    tenant, runs = await insert_tenant(postgres.programs), [uuid4() for _ in range(5)]
    rows = [replace(row(tenant), run_id=run) for run in runs * 20]
    async with pool(postgres.gateway, connections=8) as connections:
        repository = UsageRepository(connections)
        batches = [rows[at : at + 10][:: -1 if at % 20 else 1] for at in range(0, 100, 10)]
        await asyncio.gather(*(repository.append(tenant, batch) for batch in batches * 2))
        totals = await repository.append(tenant, rows[:7])
        assert {(run.tokens, run.running) for run in totals} == {(60, False)}, "also for rows that were there"
        assert sorted(await repository.totals(tenant, runs), key=str) == sorted(totals, key=str)
        assert {run.tokens for run in await repository.totals(uuid4(), runs)} == {0}, (
            "another tenant's are not returned"
        )


async def test_statements_are_planned_once(postgres: PostgresDatabase) -> None:
    async with pool(postgres.gateway, connections=1) as connections:
        tenant = await insert_tenant(postgres.programs)
        for _ in range(9):
            await UsageRepository(connections).append(tenant, [row(tenant)])
        plans = "select max(generic_plans), max(custom_plans) from pg_prepared_statements where statement ~ $1"
        assert tuple(await connections.fetchrow(plans, "insert into usage")) == (9, 0)


async def test_the_pool_is_opened_for_the_pooler_of_the_settings(postgres: PostgresDatabase, tmp_path: Path) -> None:
    opened: list[bool] = []

    def recorded(dsn: str, *, connections: int, transaction_pooler: bool) -> asyncpg.Pool:
        opened.append(transaction_pooler)
        return pool(dsn, connections=connections, transaction_pooler=transaction_pooler)

    for behind in (False, True):
        async with support.gateway(postgres, tmp_path, parts={"open_pool": recorded}, database_pooler=behind):
            assert opened[-1] is behind


async def test_behind_a_pooler_no_statement_lasts(postgres: PostgresDatabase) -> None:
    async with pool(postgres.gateway, connections=1, transaction_pooler=True) as connections:
        repository, tenant = UsageRepository(connections), await insert_tenant(postgres.programs)
        for _ in range(3):
            await repository.append(tenant, [row(tenant)])
            await repository.totals(uuid4(), [uuid4()])
        assert await connections.fetchval("select count(*) from pg_prepared_statements where name <> ''") == 0


async def test_the_repository_keeps_a_row_once_and_only_for_its_tenant(postgres: PostgresDatabase) -> None:
    first, second = await insert_tenant(postgres.programs), await insert_tenant(postgres.programs)
    made = [row(first), row(first)]
    async with pool(postgres.gateway, connections=1) as connections:
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
    tenant, other = await insert_tenant(postgres.programs), await insert_tenant(postgres.programs)
    assert (await delete_tenant(database, tenant, max_rows=9)).done
    late = row(tenant)
    async with pool(postgres.gateway, connections=1) as connections:
        repository = UsageRepository(connections)
        assert await repository.append(tenant, [late]) == [RunTotals(late.run_id or uuid4(), 0, running=False)]
        assert [run.tokens for run in await repository.append(other, [row(other)])] == [3]
