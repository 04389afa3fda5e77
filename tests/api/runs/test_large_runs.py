"""Runs that are too large for one response: what clients get of them, and what they cost a replica."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import sqlalchemy as sa
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from agentic_api.runs import sse
from agentic_api.runs.lifecycle.capacity import Capacity
from agentic_api.runs.lifecycle.replica import RunTiming
from agentic_api.runs.schemas import INLINE_BYTES, OUTPUT_CHARACTERS
from agentic_api.runs.storage.records import StoredEvent
from agentic_api.web.middleware.slow_readers import CHUNK_BYTES, SlowReaders
from agentic_core import contract
from agentic_core.contract import Final, MessageDelta, MessageDone, ToolCall, ToolEnded, ToolStarted
from agentic_core.db import Database
from agentic_core.db import tables as t
from agentic_core.db.pages import PAGE_BYTES
from tests.api.runs import stage
from tests.api.runs.runtime import Answer, Runtime
from tests.api.runs.stage import Api, Tenant
from tests.api.runs.test_events import all_events
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase

EXECUTE = "/api/v1/agents/helper/execute"
KIB, MIB = 1024, 1024 * 1024
TEXT, CALLS = "a" * 400 * KIB, 5


async def talk(answer: Answer) -> None:
    """Use a tool with long results some times, then respond at length."""
    for n in range(CALLS):
        call = ToolCall(id=f"c{n}", name="fetch", arguments={"n": n})
        message = contract.Message(role="assistant", tool_calls=[call])
        await answer.send(MessageDone(message=message), ToolStarted(call=call))
        await answer.send(ToolEnded(id=call.id, name="fetch", content=TEXT))
    await answer.say("b" * 100 * KIB)


@pytest.fixture
async def api(postgres: PostgresDatabase, runtime: Runtime, tenant: Tenant, stranger: Tenant) -> AsyncGenerator[Api]:
    """A replica whose bounds are those of production, before a runtime that sends a lot."""
    runtime.scripts["talk"] = talk
    catalog = stage.catalog_of([tenant, stranger], endpoint=runtime.url)
    async with stage.serving(postgres.api, catalog, timing=RunTiming()) as started:
        yield started


@pytest.fixture
async def client(api: Api, tenant: Tenant) -> AsyncGenerator[httpx2.AsyncClient]:
    """The acting tenant's client at that replica."""
    async with api.client(tenant.key) as opened:
        yield opened


async def pages(client: httpx2.AsyncClient, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """All pages of a list."""
    found: list[list[dict[str, Any]]] = []
    while True:
        response = await client.get(path, params=query)
        assert response.status_code == 200, response.text
        found.append(response.json()["items"])
        if response.json()["next_cursor"] is None:
            return found
        query["cursor"] = response.json()["next_cursor"]


@requirement("api-execute")
async def test_a_large_run_responds_with_its_summary_and_where_it_is(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    response = await client.post(EXECUTE, json={"input": "talk"}, headers={"Idempotency-Key": "k"})
    run = response.json()
    assert (response.status_code, run["status"]) == (202, "succeeded")
    assert response.headers["location"] == f"/api/v1/runs/{run['id']}"
    assert (len(run["output"]), run["output_truncated"]) == (OUTPUT_CHARACTERS, True)
    assert "messages" not in run
    again = await client.post(EXECUTE, json={"input": "talk"}, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (202, run)
    assert len(runtime.requests) == 1
    assert (await client.get("/api/v1/runs")).json()["items"] == [run]


async def test_all_of_a_large_run_can_be_read_in_pages(client: httpx2.AsyncClient) -> None:
    path = (await client.post(EXECUTE, json={"input": "talk"})).headers["location"]
    shown = await client.get(path)
    assert len(shown.content) < INLINE_BYTES + OUTPUT_CHARACTERS
    run = shown.json()
    assert (run["messages_truncated"], run["tool_calls_truncated"]) == (True, True)
    said = await pages(client, f"{path}/messages")
    did = await pages(client, f"{path}/tool_calls", limit=3)
    assert all(sum(len(item["content"]) for item in page) <= PAGE_BYTES for page in said)
    messages, calls = [*chain(*said)], [*chain(*did)]
    assert run["messages"] == messages[: len(run["messages"])] != []
    assert run["tool_calls"] == calls[: len(run["tool_calls"])] != []
    assert [item["role"] for item in messages] == ["user", *["assistant", "tool"] * CALLS, "assistant"]
    assert [item["content"] for item in messages if item["role"] == "tool"] == [TEXT] * CALLS
    assert messages[-1]["content"] == "b" * 100 * KIB, "all of the output"
    assert [(item["id"], item["result"]) for item in calls] == [(f"c{n}", TEXT) for n in range(CALLS)]
    assert len(did) > 1
    assert len(said) > 1


async def test_pages_of_a_run_are_the_whole_and_nothing_of_other_runs(
    client: httpx2.AsyncClient, api: Api, stranger: Tenant
) -> None:
    first = (await client.post(EXECUTE, json={"input": "hello"})).json()
    body = {"input": "again", "conversation_id": first["conversation_id"]}
    second = (await client.post(EXECUTE, json=body)).json()
    for run in (first, second):
        found = await pages(client, f"/api/v1/runs/{run['id']}/messages", limit=1)
        assert [page[0] for page in found] == run["messages"]
        assert await pages(client, f"/api/v1/runs/{run['id']}/tool_calls") == [[]]
    wrong = await client.get(f"/api/v1/runs/{first['id']}/messages", params={"cursor": "bm9uc2Vuc2U"})
    assert wrong.status_code == 422
    async with api.client(stranger.key) as other:
        for part in ("messages", "tool_calls"):
            assert (await other.get(f"/api/v1/runs/{first['id']}/{part}")).status_code == 404


async def test_a_stream_ends_with_the_summary_of_a_large_run(client: httpx2.AsyncClient) -> None:
    run = (await client.post(EXECUTE, json={"input": "talk"})).json()
    live = await all_events(client, run["id"])
    assert (live[-1].event, live[-1].data) == ("run.finished", run)
    assert sum(event.event == "tool.result" for event in live) == CALLS


async def test_an_output_that_a_summary_cuts_is_a_message(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    output = "c" * 2 * MIB

    async def odd(answer: Answer) -> None:
        await answer.send(MessageDelta(text="in short"), Final(output=output))

    runtime.scripts["odd"] = odd
    path = (await client.post(EXECUTE, json={"input": "odd"})).headers["location"]
    said = [*chain(*await pages(client, f"{path}/messages"))]
    assert [item["content"] for item in said] == ["odd", "in short", output]
    run = (await client.get(path)).json()
    assert (run["output_truncated"], run["messages_truncated"], run["tool_calls_truncated"]) == (True, True, False)
    assert [item["content"] for item in run["messages"]] == ["odd", "in short"]


@requirement("rate-limit")
async def test_a_client_that_retries_after_429_never_runs_twice(
    postgres: PostgresDatabase, runtime: Runtime, tenant: Tenant
) -> None:
    runtime.scripts["talk"] = talk
    clients = 8
    catalog, capacity = stage.catalog_of([tenant], endpoint=runtime.url), Capacity(runs_per_tenant=2)
    async with (
        stage.serving(postgres.api, catalog, timing=RunTiming(), capacity=capacity) as api,
        api.client(tenant.key) as client,
    ):

        async def insist() -> int:
            refused = 0
            while True:
                response = await client.post(EXECUTE, json={"input": "talk"})
                if response.status_code != 429:
                    assert (response.status_code, response.json()["status"]) == (202, "succeeded")
                    return refused
                refused += 1
                assert "location" not in response.headers

        refused = await asyncio.gather(*(insist() for _ in range(clients)))
        runs = (await client.get("/api/v1/runs")).json()["items"]
    assert sum(refused) > 0
    assert len(runtime.requests) == len(runs) == clients


async def huge_run(client: httpx2.AsyncClient, database: Database, tenant: Tenant) -> str:
    """The path of a run with 16 MiB of messages and as much of output."""
    run = (await client.post(EXECUTE, json={"input": "hello"})).json()
    row = {"tenant_id": tenant.id, "conversation_id": run["conversation_id"], "run_id": run["id"], "role": "assistant"}
    async with database.session(tenant.id) as session:
        await session.execute(sa.update(t.runs).where(t.runs.c.id == UUID(run["id"])).values(output="a" * 16 * MIB))
        await session.execute(
            sa.insert(t.messages), [row | {"position": n, "content": "a" * 1000 * KIB} for n in range(2, 18)]
        )
    return f"/api/v1/runs/{run['id']}"


def memory(process: int) -> int:
    """Bytes of a process's memory that are in RAM."""
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * 4096


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", ["", "/messages"])
async def test_responses_that_nobody_reads_are_bounded_in_memory(
    postgres: PostgresDatabase, database: Database, tenant: Tenant, runtime: Runtime, part: str
) -> None:
    """40 connections to a run of 32 MiB; each may hold a page and the buffers of its connection, not the run."""
    async with (
        stage.replica_process(postgres.api, [tenant], endpoint=runtime.url) as replica,
        replica.api.client(tenant.key) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        path = await huge_run(client, database, tenant) + part
        assert (await client.get(path)).status_code == 200
        before = memory(replica.process.pid)
        host, port = replica.api.url.removeprefix("http://").split(":")
        for _ in range(40):
            reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
            stack.callback(writer.close)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {tenant.key}\r\n\r\n".encode())
            assert (await asyncio.wait_for(reader.readline(), 60)).startswith(b"HTTP/1.1 200")
        grown = memory(replica.process.pid) - before
        assert (await client.get("/api/v1/runs")).status_code == 200
    print(f"\n{part or '/'}: {grown / MIB:.0f} MiB more for 40 responses that nobody reads")
    assert grown < 40 * 2.5 * MIB


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    taken: list[Message] = []

    async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a" * 3 * CHUNK_BYTES})

    async def send(message: Message) -> None:
        taken.append(message)
        if len(taken) == 3:
            await asyncio.Event().wait()

    with pytest.raises(ClientDisconnect):
        await SlowReaders(respond, seconds=0.05)({"type": "http"}, receive, send)
    assert len(taken) == 3


@pytest.mark.parametrize("size", [0, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
@pytest.mark.parametrize("more", [False, True])
async def test_chunks_are_the_whole(size: int, *, more: bool) -> None:
    sent: list[Message] = []
    body = bytes(index % 251 for index in range(size))

    async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def send(message: Message) -> None:
        sent.append(message)

    await SlowReaders(respond)({"type": "http"}, receive, send)
    assert b"".join(message["body"] for message in sent) == body
    assert all(len(message["body"]) <= CHUNK_BYTES for message in sent)
    assert [message["more_body"] for message in sent] == [True] * (len(sent) - 1) + [more]


async def receive() -> Message:
    """A request without a body."""
    return {"type": "http.request"}


def test_events_are_joined_until_they_would_be_large() -> None:
    events = [StoredEvent(seq, "message.delta", '"' + "é" * size + '"') for seq, size in enumerate((9, 9, 40_000, 9))]
    chunks = list(sse._joined([*events, *events]))
    assert b"".join(chunks) == b"".join(sse.event(one.seq, one.type, one.payload.encode()) for one in events) * 2
    assert [chunk.count(b"event: ") for chunk in chunks] == [2, 1, 3, 1, 1]
