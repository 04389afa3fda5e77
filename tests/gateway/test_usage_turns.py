"""No tenant whose batches fail or take long keeps the usage of others waiting, however few the writers are."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest

from agentic_core.backoff import Backoff
from agentic_gateway.ledger import UsageRow
from agentic_gateway.settle.repository import UsageRepository, pool
from agentic_gateway.settle.usage import RunTotals
from agentic_gateway.settle.usage_queue import MAX_ROWS
from tests.gateway.scripted_store import ScriptedStore, add, row, settle, usage_queue
from tests.support.postgres import PostgresDatabase
from tests.support.runs import insert_tenant
from tests.support.waiting import PATIENCE, until

WAIT = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


class UnwellStore(ScriptedStore):
    """Fails the batches of some tenants, so often each, and then leaves them without a response until `recovered`."""

    def __init__(self, *unwell: UUID, errors: int) -> None:
        super().__init__()
        self.unwell = dict.fromkeys(unwell, errors)
        self.recovered = asyncio.Event()
        self.waiting: Counter[UUID] = Counter()
        self.failed = 0

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> Sequence[RunTotals]:
        if tenant_id in self.unwell and not self.recovered.is_set():
            if self.unwell[tenant_id]:
                self.unwell[tenant_id] -= 1
                self.failed += 1
                raise ConnectionError("as if the database were unavailable")
            self.waiting[tenant_id] += 1
            await self.recovered.wait()
            self.waiting[tenant_id] -= 1
        return await super().append(tenant_id, rows)


async def test_a_tenant_whose_batches_take_long_has_one_of_them_in_a_transaction() -> None:
    ill, well = uuid4(), uuid4()
    store = UnwellStore(ill, errors=0)
    queue = usage_queue(store, writers=4, backlog=10_000)
    slow = add(queue, *(row(ill) for _ in range(MAX_ROWS * 3)))
    for _ in range(3):
        slow += add(queue, *(row(ill) for _ in range(9)))
        await settle(add(queue, *(row(well) for _ in range(9))))
        assert store.waiting == {ill: 1}
    store.recovered.set()
    await settle(slow)


async def test_no_writer_waits_to_try_a_batch_again() -> None:
    retries = Backoff(first=10**6, longest=10**6)
    ill = [uuid4() for _ in range(3)]
    store = UnwellStore(*ill, errors=10**6)
    queue = usage_queue(store, writers=1, wait_seconds=PATIENCE, retries=retries)
    failing = add(queue, *(row(tenant) for tenant in ill))
    for _ in range(3):
        failing += add(queue, *(row(tenant) for tenant in ill))
        good = add(queue, *(row(uuid4()) for _ in range(3)))
        await settle(good)
        assert all(queued.finished.done() for queued in good)
    assert store.failed == 3, "and a tenant that has a pause is not tried before its end"


@pytest.mark.parametrize("writers", [2, 4])
async def test_retries_occupy_half_of_the_writers(writers: int) -> None:
    retries = Backoff(first=10**-6, longest=10**-6)
    ill = [uuid4() for _ in range(writers * 2)]
    store = UnwellStore(*ill, errors=1)
    queue = usage_queue(store, writers=writers, wait_seconds=PATIENCE, retries=retries)
    failing = add(queue, *(row(tenant) for tenant in ill))
    async with asyncio.timeout(PATIENCE):
        while store.waiting.total() < writers // 2 or store.failed < len(ill):
            await asyncio.sleep(0)
    good = add(queue, *(row(uuid4()) for _ in range(9)))
    await settle(good)
    assert all(queued.finished.done() for queued in good)
    assert store.waiting.total() == writers // 2
    store.recovered.set()
    await settle(failing)
    assert len(store.rows) == len(failing) + 9


async def test_one_writer_takes_other_turns_between_retries() -> None:
    retries = Backoff(first=0, longest=0)
    ill = [uuid4() for _ in range(9)]
    store = UnwellStore(*ill, errors=10**6)
    queue = usage_queue(store, writers=1, wait_seconds=PATIENCE, retries=retries)
    failing = add(queue, *(row(tenant) for tenant in ill))
    good = add(queue, *(row(uuid4()) for _ in range(9)))
    await settle(good)
    assert all(queued.finished.done() for queued in good)
    store.recovered.set()
    await settle(failing)


async def test_locked_rows_of_a_tenant_occupy_one_connection(postgres: PostgresDatabase) -> None:
    ill, well, run = await insert_tenant(postgres.programs), await insert_tenant(postgres.programs), uuid4()
    holder = await asyncpg.connect(postgres.admin)
    try:
        async with pool(postgres.gateway, connections=2) as connections:
            queue = usage_queue(UsageRepository(connections), wait_seconds=PATIENCE, backlog=10_000)
            await settle(add(queue, replace(row(ill), run_id=run)))
            async with holder.transaction():
                await holder.execute("select from run_tokens where run_id = $1 for update", run)
                locked = add(queue, *(replace(row(ill), run_id=run) for _ in range(MAX_ROWS * 2)))
                await until(lambda: holder.fetchval(WAIT), what="a batch to wait for the lock")
                for _ in range(5):
                    locked += add(queue, replace(row(ill), run_id=run))
                    good = add(queue, *(row(well) for _ in range(9)))
                    await settle(good)
                    assert all(queued.finished.done() for queued in good)
                    assert await holder.fetchval(WAIT) == 1
                assert not any(queued.finished.done() for queued in locked)
            await settle(locked)
            await queue.aclose()
        assert await holder.fetchval("select tokens from run_tokens where run_id = $1", run) == 3 * (1 + len(locked))
    finally:
        await holder.close()
