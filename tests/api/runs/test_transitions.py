"""Transitions of a run that two transactions attempt at once: each is one statement, and the row decides."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from agentic_api.catalog.resolved import ResolvedAgent
from agentic_api.runs.lifecycle.leases import CANCELLED
from agentic_api.runs.schemas import Execute
from agentic_api.runs.service import fingerprint
from agentic_api.runs.states import PAUSED, RunStatus
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import NewRun
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.db import Database
from tests.api.runs.stage import Tenant
from tests.api.runs.test_journal import DEFINITION, LATE, REPLICA, begun
from tests.api.runs.test_states import in_status
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

BLOCKED = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())"


async def cancel(database: Database, tenant: Tenant, run: NewRun) -> RunStatus | None:
    async with database.session(tenant.id) as session:
        return await RunRepository(session).cancel(run.id, CANCELLED)


async def state(database: Database, tenant: Tenant, run: NewRun) -> tuple[str, int, list[str]]:
    """The run's status and last number, and the types of its events."""
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        progress = await journal.progress(run.id)
        events = await journal.events(run.id, after=0)
    assert progress is not None
    return progress.status.value, progress.last_seq, [event.type for event in events]


@asynccontextmanager
async def blocked(postgres: PostgresDatabase) -> AsyncGenerator[None]:
    """At the end of the block, wait until a statement waits for a lock."""
    connection = await asyncpg.connect(postgres.admin)
    try:
        yield
        await until(lambda: connection.fetchval(BLOCKED), what="a statement to wait for the row")
    finally:
        await connection.close()


@pytest.mark.parametrize("paused", PAUSED)
async def test_a_run_that_pauses_while_it_is_cancelled_is_cancelled(
    database: Database, postgres: PostgresDatabase, tenant: Tenant, paused: RunStatus
) -> None:
    run = await begun(database, tenant)
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        assert await journal.record(run.id, REPLICA, [LATE])
        assert await journal.move(run.id, paused, holder=REPLICA)
        async with blocked(postgres):
            cancelling = asyncio.create_task(cancel(database, tenant, run))
    assert await cancelling is RunStatus.CANCELLED
    assert await state(database, tenant, run) == ("cancelled", 3, ["message.delta", "message.delta", "error"])


@pytest.mark.parametrize("paused", PAUSED)
async def test_a_run_that_goes_on_while_it_is_cancelled_ends_at_its_replica(
    database: Database, postgres: PostgresDatabase, tenant: Tenant, paused: RunStatus
) -> None:
    run = await in_status(database, tenant, paused)
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        assert await journal.move(run.id, RunStatus.RUNNING, holder=None, replica=REPLICA, lease_seconds=60)
        async with blocked(postgres):
            cancelling = asyncio.create_task(cancel(database, tenant, run))
    assert await cancelling is RunStatus.RUNNING
    assert (await state(database, tenant, run))[0] == "running"
    async with database.transaction(tenant.id) as transaction:
        for status in PAUSED:
            assert not await Journal(transaction).move(run.id, status, holder=REPLICA), "it has to end instead"


async def test_a_run_is_moved_by_its_holder_only(database: Database, tenant: Tenant) -> None:
    """A driver that lost its run to a queue, and to another replica after that, moves nothing."""
    run, other = await begun(database, tenant), uuid4()
    async with database.transaction(tenant.id) as transaction:
        journal = Journal(transaction)
        for stranger in (None, other):
            assert not await journal.move(run.id, RunStatus.QUEUED, holder=stranger)
        assert await journal.move(run.id, RunStatus.QUEUED, holder=REPLICA)
        assert not await journal.move(run.id, RunStatus.RUNNING, holder=REPLICA, replica=REPLICA, lease_seconds=60)
        assert await journal.move(run.id, RunStatus.RUNNING, holder=None, replica=other, lease_seconds=60)
        assert not await journal.move(run.id, RunStatus.WAITING, holder=REPLICA)
    assert (await state(database, tenant, run))[0] == "running"


async def test_one_of_many_movers_wins(database: Database, tenant: Tenant) -> None:
    run = await in_status(database, tenant, RunStatus.QUEUED)

    async def take() -> bool:
        async with database.transaction(tenant.id) as transaction:
            return await Journal(transaction).move(
                run.id, RunStatus.RUNNING, holder=None, replica=uuid4(), lease_seconds=60
            )

    assert sum(await asyncio.gather(*(take() for _ in range(8)))) == 1


@pytest.mark.parametrize("status", [RunStatus.WAITING, RunStatus.OUTCOME_UNKNOWN])
async def test_a_repeated_request_for_a_run_in_progress_is_answered_with_its_summary(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant, status: RunStatus
) -> None:
    agent = ResolvedAgent(f"{tenant.name}-default", "helper", "helper-1", DEFINITION, "http://runtime.invalid")
    same = fingerprint(agent, Execute(input="hello"))
    run = await begun(database, tenant, idempotency_key="k", fingerprint=same)
    async with database.transaction(tenant.id) as transaction:
        assert await Journal(transaction).move(run.id, status, holder=REPLICA)
    path, key = "/api/v1/agents/helper/execute", {"Idempotency-Key": "k"}
    response = await client.post(path, json={"input": "hello"}, headers=key)
    assert (response.status_code, response.json()["status"]) == (202, status.value)
    assert response.headers["location"] == f"/api/v1/runs/{run.id}"
    assert not {"messages", "tool_calls"} & response.json().keys(), "a summary"
