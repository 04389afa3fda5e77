"""Following runs: every event once and in order, from any replica, also after a lost connection."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest

from agentic_api.runs.lifecycle.leases import CANCELLED
from agentic_api.runs.states import RunStatus
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.db import Database
from tests.api.runs import stage
from tests.api.runs.runtime import Answer, Runtime
from tests.api.runs.stage import Api, Tenant
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

EXECUTE = "/api/v1/agents/helper/execute"


@dataclass(frozen=True)
class Sent:
    """A server-sent event."""

    id: int
    event: str
    data: dict[str, Any]


async def events(response: httpx2.Response) -> AsyncGenerator[Sent]:
    assert response.status_code == 200, (await response.aread()).decode()
    assert response.headers["content-type"].startswith("text/event-stream")
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Sent(int(fields["id"]), fields["event"], orjson.loads(fields["data"]))
            fields = {}


async def all_events(client: httpx2.AsyncClient, run_id: str, **headers: str) -> list[Sent]:
    async with client.stream("GET", f"/api/v1/runs/{run_id}/events", headers=headers) as response:
        return [event async for event in events(response)]


@pytest.fixture
async def second(
    postgres: PostgresDatabase, runtime: Runtime, tenant: Tenant, stranger: Tenant
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of another replica."""
    catalog = stage.catalog_of([tenant, stranger], endpoint=runtime.url)
    async with stage.serving(postgres.api, catalog) as started, started.client(tenant.key) as opened:
        yield opened


@pytest.mark.parametrize("by_header", [False, True])
async def test_execute_streams_the_run(client: httpx2.AsyncClient, by_header: bool) -> None:
    headers = {"Accept": "text/event-stream"} if by_header else {}
    body = {"input": "hello"} | ({} if by_header else {"stream": True})
    async with client.stream("POST", EXECUTE, json=body, headers=headers) as response:
        found = [event async for event in events(response)]
    kinds = ["run.started", "message.delta", "message", "usage", "final", "run.finished"]
    assert [event.event for event in found] == kinds
    assert [event.id for event in found] == list(range(6))
    run = found[-1].data
    assert found[0].data == {key: run[key] for key in ("id", "agent", "revision", "conversation_id")}
    assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run
    assert await all_events(client, run["id"]) == found


async def test_text_arrives_while_the_run_goes_on(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["wait"] = runtime.hang
    async with client.stream("POST", EXECUTE, json={"input": "wait", "stream": True}) as response:
        async for event in events(response):
            if event.event == "message.delta":
                runtime.go_on.set()
    assert event.event == "run.finished"


async def test_a_lost_connection_is_continued_where_it_ended(client: httpx2.AsyncClient) -> None:
    run = (await client.post(EXECUTE, json={"input": "hello"})).json()
    whole = await all_events(client, run["id"])
    for event in whole[:-1]:
        assert await all_events(client, run["id"], **{"Last-Event-ID": str(event.id)}) == whole[event.id + 1 :]
    last = await client.get(f"/api/v1/runs/{run['id']}/events", headers={"Last-Event-ID": str(whole[-1].id)})
    assert last.status_code == 204
    wrong = await client.get(f"/api/v1/runs/{run['id']}/events", headers={"Last-Event-ID": "x"})
    assert wrong.status_code == 422


@requirement("stateless")
async def test_another_replica_follows_live(
    client: httpx2.AsyncClient, second: httpx2.AsyncClient, runtime: Runtime
) -> None:
    runtime.scripts["wait"] = runtime.hang
    running = asyncio.create_task(client.post(EXECUTE, json={"input": "wait"}))
    await runtime.began.wait()
    run_id = (await second.get("/api/v1/runs")).json()["items"][0]["id"]
    found: list[Sent] = []
    async with second.stream("GET", f"/api/v1/runs/{run_id}/events") as response:
        async for event in events(response):
            found.append(event)
            if event.event == "message.delta":
                runtime.go_on.set()
    run = (await running).json()
    assert found[-1].data == run
    assert [event.id for event in found] == list(range(8))


async def test_a_disconnected_client_ends_nothing(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["wait"] = runtime.hang
    async with client.stream("POST", EXECUTE, json={"input": "wait", "stream": True}) as response:
        async for event in events(response):
            run_id = event.data["id"]
            break
    assert (await client.get(f"/api/v1/runs/{run_id}")).json()["status"] == "running"
    runtime.go_on.set()
    assert (await all_events(client, run_id))[-1].data["status"] == "succeeded"


async def test_cancel_ends_the_run_and_keeps_what_was_said(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["wait"] = runtime.hang
    running = asyncio.create_task(client.post(EXECUTE, json={"input": "wait"}))
    await runtime.began.wait()
    run_id = (await client.get("/api/v1/runs")).json()["items"][0]["id"]
    cancelled = (await client.post(f"/api/v1/runs/{run_id}:cancel")).json()
    assert (cancelled["status"], cancelled["error"]["code"], cancelled["output"]) == (
        "cancelled",
        "cancelled",
        "so far",
    )
    assert (await running).json() == cancelled
    await asyncio.wait_for(runtime.dropped.wait(), PATIENCE)
    assert (await client.post(f"/api/v1/runs/{run_id}:cancel")).json() == cancelled
    conversation = (await client.get(f"/api/v1/conversations/{cancelled['conversation_id']}")).json()
    assert [item["content"] for item in conversation["messages"]] == ["wait", "so far"]


async def test_another_replica_cancels(
    client: httpx2.AsyncClient, second: httpx2.AsyncClient, runtime: Runtime
) -> None:
    runtime.scripts["wait"] = runtime.hang
    running = asyncio.create_task(client.post(EXECUTE, json={"input": "wait"}))
    await runtime.began.wait()
    run_id = (await second.get("/api/v1/runs")).json()["items"][0]["id"]
    cancelled = (await second.post(f"/api/v1/runs/{run_id}:cancel")).json()
    assert cancelled["status"] == "cancelled"
    assert (await running).json() == cancelled


async def test_a_cancellation_arrives_without_any_notice(
    client: httpx2.AsyncClient, runtime: Runtime, database: Database, tenant: Tenant
) -> None:
    runtime.scripts["wait"] = runtime.hang
    running = asyncio.create_task(client.post(EXECUTE, json={"input": "wait"}))
    await runtime.began.wait()
    run_id = UUID((await client.get("/api/v1/runs")).json()["items"][0]["id"])
    async with database.session(tenant.id) as session:
        assert await RunRepository(session).cancel(run_id, CANCELLED) is RunStatus.RUNNING
    assert (await running).json()["status"] == "cancelled"


async def test_one_event_is_streamed_for_each_of_many_lines(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def chatty(answer: Answer) -> None:
        for n in range(1000):
            await answer.write(b'{"type":"message.delta","text":"%d "}\n' % n)
        await answer.say("done")

    runtime.scripts["talk"] = chatty
    run = (await client.post(EXECUTE, json={"input": "talk"})).json()
    found = await all_events(client, run["id"])
    assert [event.id for event in found] == list(range(1006))
    assert [event.data["text"] for event in found[1:1001]] == [f"{n} " for n in range(1000)]


async def test_the_api_names_no_tenant_but_the_callers(
    runs_api: Api, stranger: Tenant, client: httpx2.AsyncClient
) -> None:
    run = (await client.post(EXECUTE, json={"input": "hello"})).json()
    async with runs_api.client(stranger.key) as other:
        for method, path in (
            ("GET", f"/api/v1/runs/{run['id']}"),
            ("GET", f"/api/v1/runs/{run['id']}/events"),
            ("POST", f"/api/v1/runs/{run['id']}:cancel"),
            ("GET", f"/api/v1/conversations/{run['conversation_id']}"),
            ("DELETE", f"/api/v1/conversations/{run['conversation_id']}"),
        ):
            answer = await other.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        body = {"input": "a", "conversation_id": run["conversation_id"]}
        assert (await other.post(EXECUTE, json=body)).status_code == 404
        assert (await other.get("/api/v1/runs")).json()["items"] == []
        assert (await other.get("/api/v1/conversations")).json()["items"] == []
        filtered = await other.get("/api/v1/runs", params={"agent": run["agent"]})
        assert filtered.status_code == 404
