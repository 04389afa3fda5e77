"""What holds between things that happen at once in one run: flushes and its end, followers and events, slots."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from agentic_api.runs.follow.live import LiveRun
from agentic_api.runs.lifecycle.begin import RunTask, begin
from agentic_api.runs.lifecycle.capacity import RUN_BYTES, Capacity, RunSlot, Slots, TooManyRuns
from agentic_api.runs.lifecycle.driver import Driver, DriverContext, DriverTiming
from agentic_api.runs.lifecycle.runtime_client import RuntimeClient
from agentic_api.runs.states import RunStatus
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import StoredEvent
from agentic_core.contract import Event, Final, MessageDelta
from agentic_core.db import Database, Transaction
from agentic_core.db import tables as t
from agentic_core.errors import NotFound
from tests.api.runs.stage import Tenant
from tests.api.runs.test_journal import REPLICA, new_run
from tests.support.waiting import PATIENCE, until

Record = Callable[[Journal, UUID, UUID, Sequence[StoredEvent]], Awaitable[bool]]


class Script:
    """A runtime whose events the test sends."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    async def run(self, _endpoint: str, _body: bytes, _token: str, *, tenant: str) -> AsyncGenerator[Event]:
        while True:
            event = await self.events.get()
            yield event
            if isinstance(event, Final):
                return


async def driver(database: Database, tenant: Tenant, script: Script, **timing: float) -> Driver:
    """A driver of a run that has begun."""
    task = await begin(database, new_run(tenant), lambda: Slots(Capacity()).run(tenant.id))
    assert isinstance(task, RunTask)
    runtimes, pace = cast("RuntimeClient", script), DriverTiming(**timing)  # type: ignore[arg-type]
    return Driver(task, task.request(tenant.name), "token", DriverContext(database, runtimes, REPLICA, pace, _announce))


async def _announce(_run_id: UUID) -> None:
    """No other replica follows."""


async def stored(database: Database, tenant: Tenant, run_id: UUID) -> list[StoredEvent]:
    """The events in the database."""
    async with database.session(tenant.id) as session:
        rows = await session.execute(sa.select(t.run_events).where(t.run_events.c.run_id == run_id))
        return sorted((StoredEvent(row.seq, row.type, row.payload) for row in rows), key=lambda event: event.seq)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[Record], None]:
    """Puts a function in place of the journal's that stores events."""
    return lambda record: monkeypatch.setattr(Journal, "record", record)


RECORD: Record = Journal.record


async def test_a_run_is_closed_after_the_flush_in_progress(
    database: Database, tenant: Tenant, recorded: Callable[[Record], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    flushing, go_on = asyncio.Event(), asyncio.Event()
    close = Journal.close

    async def slow(self: Journal, run_id: UUID, replica: UUID, events: Sequence[StoredEvent]) -> bool:
        flushing.set()
        await go_on.wait()
        held = await RECORD(self, run_id, replica, events)
        order.append("flushed")
        return held

    async def noted(self: Journal, *values: Any, **named: Any) -> Any:
        order.append("closed")
        return await close(self, *values, **named)

    recorded(slow)
    monkeypatch.setattr(Journal, "close", noted)
    script = Script()
    run = await driver(database, tenant, script, flush_seconds=0.001)
    driving = asyncio.create_task(run.drive())
    script.events.put_nowait(MessageDelta(text="so far"))
    await asyncio.wait_for(flushing.wait(), PATIENCE)
    script.events.put_nowait(Final(output="done"))

    async def ended() -> bool:
        return len(run.live.events) == 2

    await until(ended, "the end of the run")
    for _ in range(20):
        await asyncio.sleep(0.001)
    before = list(order)
    go_on.set()
    await asyncio.wait_for(driving, PATIENCE)
    assert (before, order) == ([], ["flushed", "closed"])
    assert run.live.result is not None
    assert run.live.result.status is RunStatus.SUCCEEDED
    assert await stored(database, tenant, run.live.id) == run.live.events


async def test_one_flush_at_a_time_stores_each_event_once_and_in_order(
    database: Database, tenant: Tenant, recorded: Callable[[Record], None]
) -> None:
    batches: list[list[int]] = []
    flushing = most = 0

    async def counted(self: Journal, run_id: UUID, replica: UUID, events: Sequence[StoredEvent]) -> bool:
        nonlocal flushing, most
        flushing, batch = flushing + 1, [event.seq for event in events]
        most = max(most, flushing)
        try:
            if len(batches) == 1:
                batches.append([])
                raise ConnectionError("lost")
            held = await RECORD(self, run_id, replica, events)
            batches.append(batch)
            return held
        finally:
            flushing -= 1

    recorded(counted)
    script = Script()
    run = await driver(database, tenant, script, flush_seconds=0.001, max_flush_seconds=0.001)
    driving = asyncio.create_task(run.drive())
    for n in range(200):
        script.events.put_nowait(MessageDelta(text=str(n)))
        await asyncio.sleep(0.001)
    script.events.put_nowait(Final(output="done"))
    await asyncio.wait_for(driving, PATIENCE)
    flushed = [seq for batch in batches for seq in batch]
    assert most == 1
    assert len(batches) > 2
    assert flushed == list(range(1, len(flushed) + 1)), "the batch of the flush that failed is in the next one"
    assert await stored(database, tenant, run.live.id) == run.live.events


async def test_a_driver_that_loses_its_run_does_not_close_it(
    database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []

    async def close(_self: Journal, run_id: UUID, *_values: object, **_named: object) -> None:
        closed.append(run_id)

    monkeypatch.setattr(Journal, "close", close)
    script = Script()
    run = await driver(database, tenant, script, flush_seconds=60)
    driving = asyncio.create_task(run.drive())
    script.events.put_nowait(MessageDelta(text="so far"))

    async def begun() -> bool:
        return bool(run.live.events)

    await until(begun, "the first event")
    run.lose()
    await asyncio.wait_for(driving, PATIENCE)
    assert (run.live.result, closed) == (None, [])
    assert await stored(database, tenant, run.live.id) == []


@pytest.mark.parametrize("seed", range(20))
async def test_followers_get_every_event_whatever_happens_in_between(seed: int) -> None:
    dice, live = random.Random(seed), LiveRun(uuid4(), uuid4())

    async def pause() -> None:
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)

    async def follow() -> list[int]:
        await pause()
        found: list[int] = []
        async for events in live.follow(0):
            found += [event.seq for event in events]
            await pause()
        return found

    async def publish() -> None:
        for _ in range(30):
            live.publish("message.delta", "{}")
            await pause()
        live.finish(None)

    async with asyncio.timeout(PATIENCE):
        *found, _ = await asyncio.gather(*(follow() for _ in range(5)), publish())
    assert found == [list(range(1, 31))] * 5


@pytest.mark.parametrize("seed", range(20))
def test_slots_that_are_released_leave_nothing_taken(seed: int) -> None:
    dice, tenants = random.Random(seed), [uuid4() for _ in range(3)]
    slots = Slots(Capacity(runs_per_tenant=3, live_bytes=5 * RUN_BYTES))
    taken: list[RunSlot] = []
    for _ in range(300):
        if taken and dice.random() < 0.5:
            slot = taken.pop(dice.randrange(len(taken)))
            slot.reserve(dice.randrange(2 * RUN_BYTES))
            slot.release()
        else:
            try:
                taken.append(slots.run(dice.choice(tenants)))
            except TooManyRuns:
                assert taken
    for slot in taken:
        slot.release()
    for tenant_id in tenants:
        full = [slots.run(tenant_id) for _ in range(3)]
        with pytest.raises(TooManyRuns):
            slots.run(tenant_id)
        for slot in full:
            slot.release()


class Unlucky:
    """A database whose first transaction is committed, but nobody hears of it."""

    def __init__(self, database: Database) -> None:
        self.session = database.session
        self._database = database
        self._lost = False

    @asynccontextmanager
    async def transaction(self, tenant_id: UUID) -> AsyncGenerator[Transaction]:
        async with self._database.transaction(tenant_id) as transaction:
            yield transaction
        if not self._lost:
            self._lost = True
            raise ConnectionError("the connection was lost")


async def test_a_run_that_was_committed_unnoticed_is_not_refused(database: Database, tenant: Tenant) -> None:
    slots = Slots(Capacity(runs_per_tenant=1))
    task = await begin(cast("Database", Unlucky(database)), new_run(tenant), lambda: slots.run(tenant.id))
    assert isinstance(task, RunTask)
    assert [message.content for message in task.messages] == ["hello"]
    with pytest.raises(TooManyRuns):
        slots.run(tenant.id)
    task.slot.release()
    slots.run(tenant.id)


async def test_a_run_that_cannot_begin_or_has_begun_before_takes_no_slot(database: Database, tenant: Tenant) -> None:
    slots = Slots(Capacity(runs_per_tenant=1))
    with pytest.raises(NotFound):
        await begin(database, new_run(tenant, continues=uuid4()), lambda: slots.run(tenant.id))
    key = {"idempotency_key": "k", "fingerprint": b"f"}
    first = await begin(database, new_run(tenant, **key), lambda: slots.run(tenant.id))
    assert isinstance(first, RunTask)
    first.slot.release()
    assert await begin(database, new_run(tenant, **key), lambda: slots.run(tenant.id)) == first.run.id
    slots.run(tenant.id)
