"""The table of statuses, and that the database and the SQL agree with it."""

import re
from collections.abc import Awaitable, Callable
from itertools import product
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
import sqlalchemy as sa

from agentic_api.runs import states
from agentic_api.runs.states import IN_PROGRESS, LEASED, PAUSED, RULES, RUN_FINISHED, TERMINAL, RunStatus, preceding
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import Closing, NewRun
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.contract import API_EVENTS
from agentic_core.db import Database, functions
from agentic_core.db import tables as t
from tests.api.runs.stage import Tenant
from tests.api.runs.test_events import all_events
from tests.api.runs.test_journal import REPLICA, begun, new_run, sweep
from tests.core.db.rows import delete_tenant
from tests.support.postgres import PostgresDatabase

EXECUTE = "/api/v1/agents/helper/execute"
STATUSES = set(RunStatus)


def test_every_status_has_a_rule() -> None:
    assert set(RULES) == STATUSES
    assert set(IN_PROGRESS) | set(TERMINAL) == STATUSES
    assert set(IN_PROGRESS) == set(LEASED) | set(PAUSED)


@pytest.mark.parametrize("status", RunStatus)
def test_what_every_rule_keeps_to(status: RunStatus) -> None:
    rule = RULES[status]
    assert status not in rule.following
    assert rule.in_progress == (rule.event != RUN_FINISHED)
    assert rule.in_progress or not (rule.leased or rule.advances)
    assert not rule.leased or rule.advances
    assert not rule.in_progress or RunStatus.CANCELLED in rule.following, "a user can end whatever is in progress"
    assert set(preceding(status)) == {before for before in STATUSES if status in RULES[before].following}


def test_no_runtime_can_send_an_event_of_the_api() -> None:
    own = [value for name, value in vars(states).items() if name.startswith(("RUN_", "EVENTS_"))]
    assert len(own) == 5
    assert all(name.startswith(API_EVENTS) for name in [*own, *(rule.event for rule in RULES.values())])


async def constraint(postgres: PostgresDatabase, name: str) -> set[str]:
    """The statuses that a constraint or index names."""
    connection = await asyncpg.connect(postgres.admin)
    found = await connection.fetchrow(
        "select convalidated, pg_get_constraintdef(oid) as text from pg_constraint where conname = $1", name
    )
    await connection.close()
    assert found["convalidated"]
    return set(re.findall(r"'(\w+)'::text", found["text"]))


async def test_the_database_has_the_same_table(postgres: PostgresDatabase) -> None:
    assert await constraint(postgres, "runs_status_known") == STATUSES
    assert await constraint(postgres, "runs_finished") == set(IN_PROGRESS)
    assert await constraint(postgres, "runs_leased") == set(LEASED)
    assert await constraint(postgres, "runs_paused") == set(PAUSED)
    connection = await asyncpg.connect(postgres.admin)
    indexes = dict(await connection.fetch("select indexname, indexdef from pg_indexes where tablename = 'runs'"))
    await connection.close()
    assert set(re.findall(r"'(\w+)'::text", indexes["runs_leases"])) == set(LEASED)
    assert indexes["runs_one_in_progress"].endswith("WHERE (finished_at IS NULL)")


def closing(status: RunStatus) -> Closing:
    return Closing(status=status, output="", error=None, messages=[], tools=[], events=[], last_seq=1)


async def moved(journal: Journal, run: NewRun, before: RunStatus, after: RunStatus) -> bool:
    """Whether the journal gives a run another status."""
    holder = REPLICA if before in LEASED else None
    if RULES[after].in_progress:
        replica = REPLICA if RULES[after].leased else None
        return await journal.move(run.id, after, holder=holder, replica=replica, lease_seconds=60)
    return await journal.close(run.id, closing(after), holder=holder, closer=REPLICA) is not None


async def in_status(database: Database, tenant: Tenant, status: RunStatus) -> NewRun:
    """A run that has come to have this status."""
    run = await begun(database, tenant)
    if status is not RunStatus.RUNNING:
        async with database.transaction(tenant.id) as transaction:
            assert await moved(Journal(transaction), run, RunStatus.RUNNING, status)
    return run


async def test_a_status_changes_as_the_table_says_and_in_no_other_way(database: Database, tenant: Tenant) -> None:
    for before, after in product(RunStatus, RunStatus):
        run = await in_status(database, tenant, before)
        async with database.transaction(tenant.id) as transaction:
            journal = Journal(transaction)
            assert await moved(journal, run, before, after) == (after in RULES[before].following), (before, after)
            progress = await journal.progress(run.id)
        assert progress is not None
        assert progress.status is (after if after in RULES[before].following else before)


@pytest.mark.parametrize(
    ("status", "replica"), [(RunStatus.RUNNING, None), (RunStatus.WAITING, REPLICA), (RunStatus.FAILED, None)]
)
async def test_a_run_cannot_be_moved_without_what_its_status_needs(
    database: Database, tenant: Tenant, status: RunStatus, replica: UUID | None
) -> None:
    async with database.transaction(tenant.id) as transaction:
        with pytest.raises(ValueError, match=status.value):
            await Journal(transaction).move(uuid4(), status, holder=None, replica=replica)


@pytest.mark.parametrize("status", PAUSED)
async def test_a_run_that_no_replica_drives_has_no_lease(database: Database, tenant: Tenant, status: RunStatus) -> None:
    run = await in_status(database, tenant, status)
    assert await functions.expired_runs(database, limit=9) == []
    assert await functions.extend_leases(database, REPLICA, [run.id], seconds=9) == []
    await sweep(database)
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        assert not await journal.record(run.id, REPLICA, [])
        assert await journal.claim_expired(run.id, REPLICA, seconds=9) is None
        progress = await journal.progress(run.id)
    assert progress is not None
    assert progress.status is status


async def test_a_run_may_begin_in_the_queue(database: Database, tenant: Tenant) -> None:
    run = new_run(tenant, replica=None)
    async with database.transaction(tenant.id) as transaction:
        assert await Journal(transaction).begin(run)
    async with database.session(tenant.id) as session:
        found = await RunRepository(session).get(run.id)
    assert found is not None
    assert (found.status, found.messages[0].content) == (RunStatus.QUEUED, "hello")


@pytest.mark.parametrize("status", PAUSED)
async def test_clients_see_filter_and_cancel_runs_that_no_replica_drives(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant, status: RunStatus
) -> None:
    run = await in_status(database, tenant, status)
    shown = (await client.get(f"/api/v1/runs/{run.id}")).json()
    assert (shown["status"], shown["finished_at"]) == (status.value, None)
    listed = (await client.get("/api/v1/runs", params={"status": status.value})).json()["items"]
    assert [item["id"] for item in listed] == [str(run.id)]
    assert (await client.get("/api/v1/runs", params={"status": "running"})).json()["items"] == []
    busy = await client.delete(f"/api/v1/conversations/{run.conversation_id}")
    assert (busy.status_code, busy.json()["code"]) == (409, "conversation_busy")
    cancelled = (await client.post(f"/api/v1/runs/{run.id}:cancel")).json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("cancelled", "cancelled")
    assert (await client.post(f"/api/v1/runs/{run.id}:cancel")).json() == cancelled
    events = await all_events(client, str(run.id))
    assert [event.event for event in events] == ["run.started", "message.delta", "error", "run.finished"]
    async with database.session(tenant.id) as session:
        notes = (await session.execute(sa.select(t.audit_log.c.action))).scalars().all()
    assert notes == ["run.cancel"]


@pytest.mark.parametrize("status", [RunStatus.WAITING, RunStatus.OUTCOME_UNKNOWN])
async def test_followers_of_a_run_that_waits_are_released(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant, status: RunStatus
) -> None:
    run = await in_status(database, tenant, status)
    events = await all_events(client, str(run.id))
    assert [event.event for event in events] == ["run.started", "message.delta", "run.waiting"]
    again = {"Last-Event-ID": str(events[-1].id)}
    assert [event.event for event in await all_events(client, str(run.id), **again)] == ["run.waiting"]


@pytest.mark.parametrize("status", IN_PROGRESS)
async def test_a_conversation_has_one_run_in_progress(database: Database, tenant: Tenant, status: RunStatus) -> None:
    run = await in_status(database, tenant, status)
    async with database.transaction(tenant.id) as transaction:
        assert await Journal(transaction).in_progress_in(run.conversation_id) == run.id
    with pytest.raises(asyncpg.UniqueViolationError, match="runs_one_in_progress"):
        await begun(database, tenant, continues=run.conversation_id)


Deletion = Callable[[Database, Tenant, NewRun], Awaitable[None]]


async def _conversation(database: Database, tenant: Tenant, run: NewRun) -> None:
    async with database.session(tenant.id) as session:
        await session.execute(sa.delete(t.conversations).where(t.conversations.c.id == run.conversation_id))


async def _tenant(database: Database, tenant: Tenant, _run: NewRun) -> None:
    while not (await delete_tenant(database, tenant.id, max_rows=100)).done:
        pass


@pytest.mark.parametrize(("delete", "left"), [(_conversation, [None]), (_tenant, [])])
async def test_a_run_outlives_its_parent_and_nothing_breaks(
    database: Database, tenant: Tenant, stranger: Tenant, delete: Deletion, left: list[None]
) -> None:
    parent = await begun(database, tenant)
    child = await begun(database, tenant, parent_run_id=parent.id)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="runs_parent"):
        await begun(database, stranger, parent_run_id=parent.id)
    async with database.session(tenant.id) as session:
        found = await RunRepository(session).get(child.id)
    assert found is not None
    assert found.parent_run_id == parent.id
    await delete(database, tenant, parent)
    async with database.session(tenant.id) as session:
        parents = await session.execute(sa.select(t.runs.c.parent_run_id).where(t.runs.c.id == child.id))
        assert parents.scalars().all() == left
