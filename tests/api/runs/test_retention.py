"""Events of old runs go, the runs and what was said stay, and followers are told."""

from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from agentic_api.runs.lifecycle.retention import Retention
from agentic_core.clock import Clock
from agentic_core.db import Database
from tests.api.runs.test_events import EXECUTE, all_events
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until


async def asked(client: httpx2.AsyncClient) -> dict[str, Any]:
    """The run that is answered to one question with one idempotency key."""
    answer = await client.post(EXECUTE, json={"input": "hello"}, headers={"Idempotency-Key": "k"})
    run: dict[str, Any] = answer.json()
    return run


@pytest.fixture
async def old(client: httpx2.AsyncClient, postgres: PostgresDatabase) -> dict[str, Any]:
    """A run that ended eight days ago. Its id says that it began in 1970."""
    run = await asked(client)
    new, before = UUID(int=UUID(run["id"]).int & (1 << 80) - 1), UUID(run["id"])
    connection = await asyncpg.connect(postgres.admin)
    await connection.execute("set session_replication_role = replica")  # else references keep ids from being changed
    await connection.execute(
        "update runs set id = $1, finished_at = now() - interval '8 days' where id = $2", new, before
    )
    await connection.execute("update run_events set run_id = $1 where run_id = $2", new, before)
    await connection.execute("update messages set run_id = $1 where run_id = $2", new, before)
    await connection.close()
    return run | {"id": str(new)}


def retention(database: Database, days: float = 7) -> Retention:
    return Retention(database, Clock(), days=days, interval_seconds=0.05, batch=3)


async def test_an_old_run_keeps_all_but_its_events(
    client: httpx2.AsyncClient, database: Database, old: dict[str, Any]
) -> None:
    whole = await all_events(client, old["id"])
    young = (await client.post(EXECUTE, json={"input": "hello"})).json()
    assert await retention(database).sweep() == len(whole) - 2
    assert await retention(database).sweep() == 0
    shown = (await client.get(f"/api/v1/runs/{old['id']}")).json()
    assert (shown["output"], shown["messages"]) == (old["output"], old["messages"])
    conversation = (await client.get(f"/api/v1/conversations/{old['conversation_id']}")).json()
    assert len(conversation["messages"]) == 2
    assert len(await all_events(client, young["id"])) == len(whole)


async def test_a_follower_of_an_old_run_is_told_and_ends(
    client: httpx2.AsyncClient, database: Database, old: dict[str, Any]
) -> None:
    assert await retention(database).sweep() == 4
    left = await all_events(client, old["id"])
    assert [event.event for event in left] == ["run.started", "events.expired", "run.finished"]
    assert [event.id for event in left] == [0, 4, 5], "the numbers that they had"
    assert left[-1].data["output"] == old["output"]
    seen = {"Last-Event-ID": str(left[-1].id)}
    assert (await client.get(f"/api/v1/runs/{old['id']}/events", headers=seen)).status_code == 204


async def test_an_idempotency_key_lasts_as_long_as_the_events(
    client: httpx2.AsyncClient, database: Database, old: dict[str, Any]
) -> None:
    assert (await asked(client))["id"] == old["id"]
    await retention(database).sweep()
    again = await asked(client)
    assert again["id"] != old["id"]
    assert (await asked(client))["id"] == again["id"]


async def test_it_goes_on_by_itself_unless_told_not_to(
    client: httpx2.AsyncClient, database: Database, old: dict[str, Any]
) -> None:
    async def expired() -> bool:
        return any(event.event == "events.expired" for event in await all_events(client, old["id"]))

    async with retention(database, days=0).running():
        assert not await expired()
    async with retention(database).running(), retention(database).running():
        await until(expired, what="the events to go")
