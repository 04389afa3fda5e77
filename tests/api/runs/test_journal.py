"""Who may write to a run: its replica while it holds the lease, one closer afterwards, and never another tenant."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from agentic_api.catalog.resolved import ResolvedAgent
from agentic_api.runs.lifecycle.leases import CANCELLED
from agentic_api.runs.lifecycle.sweep import Sweeper
from agentic_api.runs.states import RunStatus
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import Closing, NewRun, StoredEvent
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.contract import Message
from agentic_core.db import Database, uuid7
from agentic_core.db import tables as t
from agentic_core.db.pages import BoundedPage
from agentic_crds.agent_revision import Definition
from tests.api.runs import stage
from tests.api.runs.stage import Tenant
from tests.requirements import requirement

DEFINITION = Definition.model_validate(stage.DEFINITION)
REPLICA = uuid4()
MINE = StoredEvent(1, "message.delta", '{"type":"message.delta","text":"so far"}')
LATE = StoredEvent(2, "message.delta", '{"type":"message.delta","text":" too late"}')


def new_run(tenant: Tenant, **fields: Any) -> NewRun:
    agent = ResolvedAgent("n", fields.pop("agent", "helper"), "helper-1", DEFINITION, "http://runtime.invalid")
    values: dict[str, Any] = {
        "tenant_id": tenant.id, "agent": agent, "added": [Message(role="user", content="hello")], "replica": REPLICA,
        "lease_seconds": 60.0,
    }  # fmt: skip
    return NewRun(**(values | fields))


def closing(text: str) -> Closing:
    said = [Message(role="assistant", content=text)]
    return Closing(
        status=RunStatus.SUCCEEDED, output=text, error=None, messages=said, tools=[], events=[LATE], last_seq=2
    )


async def begun(database: Database, tenant: Tenant, **fields: Any) -> NewRun:
    run = new_run(tenant, **fields)
    async with database.transaction(tenant.id) as transaction:
        assert await Journal(transaction).begin(run)
        assert await Journal(transaction).record(run.id, REPLICA, [MINE])
    return run


async def sweep(database: Database) -> None:
    """What another replica does from time to time."""
    await Sweeper(database, uuid4(), 60.0, lambda _status: None).sweep(())


async def contents(database: Database, tenant: Tenant, run: NewRun) -> list[str]:
    async with database.session(tenant.id) as session:
        query = sa.select(t.messages.c.content).where(t.messages.c.conversation_id == run.conversation_id)
        return list((await session.execute(query.order_by(t.messages.c.position))).scalars())


async def test_a_driver_that_lost_its_run_writes_nothing_more(database: Database, tenant: Tenant) -> None:
    run = await begun(database, tenant, lease_seconds=-1.0)
    await sweep(database)
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        assert not await journal.record(run.id, REPLICA, [LATE])
        assert await journal.close(run.id, closing("late"), holder=REPLICA, closer=REPLICA) is None
        assert await journal.closed_by(run.id, REPLICA) is None
        assert [event.type for event in await journal.events(run.id, after=0, limit=9)] == ["message.delta", "error"]
    assert await contents(database, tenant, run) == ["hello", "so far"]


async def test_a_run_that_cannot_be_closed_does_not_keep_others_open(database: Database, tenant: Tenant) -> None:
    spoilt = await begun(database, tenant, lease_seconds=-2.0)
    async with database.transaction(tenant.id) as transaction:
        await Journal(transaction).record(spoilt.id, REPLICA, [StoredEvent(2, "odd", '{"type":"odd"}')])
    run = await begun(database, tenant, lease_seconds=-1.0, agent="other")
    await sweep(database)
    async with database.transaction(tenant.id) as transaction:
        state = await Journal(transaction).progress(run.id)
    assert state is not None
    assert state.status is RunStatus.INTERRUPTED


async def test_one_of_many_closers_wins(database: Database, tenant: Tenant) -> None:
    run = await begun(database, tenant, lease_seconds=-1.0)

    async def finish() -> None:
        async with database.transaction(tenant.id) as transaction:
            await Journal(transaction).close(run.id, closing("so far"), holder=REPLICA, closer=REPLICA)

    await asyncio.gather(finish(), *(sweep(database) for _ in range(6)))
    assert await contents(database, tenant, run) == ["hello", "so far"]


async def test_a_history_is_bounded_in_bytes_too(database: Database, tenant: Tenant) -> None:
    """A runtime may say megabytes a message; a thousand of them would be more than the api's memory."""
    run = await begun(database, tenant)
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        await journal.close(run.id, closing("x" * 1000), holder=REPLICA, closer=REPLICA)
        for max_bytes, lengths in ((900, []), (1005, [1000]), (2000, [5, 1000])):
            found = await journal.history(run.conversation_id, max_messages=9, max_bytes=max_bytes, max_values=9)
            assert [len(message.content) for message in found] == lengths


async def test_a_repeated_close_is_recognised(database: Database, tenant: Tenant) -> None:
    run = await begun(database, tenant)
    async with database.transaction(tenant.id) as transaction:
        first = await Journal(transaction).close(run.id, closing("a"), holder=REPLICA, closer=REPLICA)
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        assert await journal.close(run.id, closing("a"), holder=REPLICA, closer=REPLICA) is None
        assert await journal.closed_by(run.id, REPLICA) == first


async def test_a_live_lease_is_left_alone(database: Database, tenant: Tenant) -> None:
    run = await begun(database, tenant)
    await sweep(database)
    async with database.transaction(tenant.id) as transaction:
        assert await Journal(transaction).claim_expired(run.id, uuid4(), seconds=9) is None
        assert await Journal(transaction).record(run.id, REPLICA, [LATE])


async def test_the_cost_of_a_run_is_what_the_ledger_says(database: Database, tenant: Tenant) -> None:
    run = await begun(database, tenant)
    async with database.session(tenant.id) as session:
        for n in range(3):
            row = {"tenant_id": tenant.id, "id": uuid7(), "run_id": run.id, "provider": "p", "model": "m"}
            spent = {"input_tokens": 10, "output_tokens": n, "cost": "0.000000001", "status": "completed"}
            await session.execute(sa.insert(t.usage).values(**row, **spent))
    async with database.transaction(tenant.id) as transaction:
        closed = await Journal(transaction).close(run.id, closing("a"), holder=REPLICA, closer=REPLICA)
    assert closed is not None
    assert (closed.usage.input_tokens, closed.usage.output_tokens, closed.cost) == (30, 3, Decimal("0.000000003"))
    async with database.session(tenant.id) as session:
        kept = await RunRepository(session).get(run.id)
    assert kept is not None
    assert (kept.usage, kept.cost) == (closed.usage, closed.cost)


def _continuing(run: NewRun) -> NewRun:
    return dataclasses.replace(run, id=uuid7(), continues=run.conversation_id, idempotency_key=None)


Attempt = Callable[[Journal, NewRun], Awaitable[object]]
ATTEMPTS: dict[str, tuple[Attempt, object]] = {
    "begin": (lambda journal, run: journal.begin(_continuing(run)), None),
    "stored_request": (lambda journal, run: journal.stored_request("key"), None),
    "lock_conversation": (lambda journal, run: journal.lock_conversation(run.conversation_id), None),
    "in_progress_in": (lambda journal, run: journal.in_progress_in(run.conversation_id), None),
    "history": (
        lambda journal, run: journal.history(run.conversation_id, max_messages=9, max_bytes=999, max_values=9),
        [],
    ),
    "record": (lambda journal, run: journal.record(run.id, REPLICA, [LATE]), False),
    "claim_expired": (lambda journal, run: journal.claim_expired(run.id, REPLICA, seconds=9), None),
    "last_event": (lambda journal, run: journal.last_event(run.id), 0),
    "move": (lambda journal, run: journal.move(run.id, RunStatus.WAITING, holder=REPLICA), False),
    "close": (lambda journal, run: journal.close(run.id, closing("x"), holder=REPLICA, closer=REPLICA), None),
    "closed_by": (lambda journal, run: journal.closed_by(run.id, REPLICA), None),
    "cancel_requested": (lambda journal, run: journal.cancel_requested(run.id), False),
    "progress": (lambda journal, run: journal.progress(run.id), None),
    "events": (lambda journal, run: journal.events(run.id, after=0, limit=9), []),
}


def test_every_method_of_the_journal_is_tried() -> None:
    assert set(ATTEMPTS) == {name for name in vars(Journal) if not name.startswith("_")}


@pytest.mark.parametrize("name", ATTEMPTS)
@requirement("data-isolation")
async def test_the_journal_knows_nothing_of_another_tenants_runs(
    database: Database, tenant: Tenant, stranger: Tenant, name: str
) -> None:
    run = await begun(database, tenant, idempotency_key="key", fingerprint=b"f", lease_seconds=-1.0)
    attempt, nothing = ATTEMPTS[name]
    async with database.transaction(stranger.id) as transaction:
        assert await attempt(Journal(transaction), run) == nothing
    assert await contents(database, tenant, run) == ["hello"]
    async with database.transaction(tenant.id) as transaction:
        assert await Journal(transaction).record(run.id, REPLICA, [LATE]), "still running, still the replica's"


async def test_the_repository_knows_nothing_of_another_tenants_runs(
    database: Database, tenant: Tenant, stranger: Tenant
) -> None:
    run = await begun(database, tenant)
    async with database.session(stranger.id) as session:
        repository = RunRepository(session)
        assert await repository.get(run.id) is None
        assert await repository.page(limit=9, before=None) == BoundedPage([], more=False)
        assert await repository.cancel(run.id, CANCELLED) is None
    async with database.session(tenant.id) as session:
        assert len((await RunRepository(session).page(limit=9, before=None)).items) == 1


async def test_a_transaction_is_undone_by_an_error_and_by_cancellation(database: Database, tenant: Tenant) -> None:
    run = new_run(tenant)
    entered = asyncio.Event()

    async def write(end: Callable[[], Awaitable[object]]) -> None:
        async with database.transaction(tenant.id) as transaction:
            await Journal(transaction).begin(run)
            entered.set()
            await end()

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await write(fail)
    entered.clear()
    task = asyncio.create_task(write(asyncio.Event().wait))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await contents(database, tenant, run) == []
    async with database.transaction(tenant.id) as transaction:
        assert await transaction.fetch_one("select current_setting('app.tenant_id') as t where $1::uuid is not null")
