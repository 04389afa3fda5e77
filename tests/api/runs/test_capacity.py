"""No tenant fills a replica: neither with runs, nor with requests that wait for them, nor with what they say."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from agentic_api.runs.follow.live import LiveRun
from agentic_api.runs.lifecycle.begin import RunTask
from agentic_api.runs.lifecycle.capacity import RUN_BYTES, Capacity, Slots, TooManyRuns
from agentic_api.runs.storage.records import BATCH_BYTES, BATCH_EVENTS
from agentic_core.auth import run_tokens
from agentic_core.contract import Message, MessageDone
from agentic_core.web.shares import Shares
from tests.api.runs import stage
from tests.api.runs.runtime import Answer, Runtime
from tests.api.runs.stage import Tenant
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

EXECUTE = "/api/v1/agents/helper/execute"
A, B, C = uuid4(), uuid4(), uuid4()
KB = 1024


@pytest.fixture
async def both(
    request: pytest.FixtureRequest, postgres: PostgresDatabase, runtime: Runtime, tenant: Tenant, stranger: Tenant
) -> AsyncGenerator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
    """Clients of two tenants at a replica of the capacity that the test names."""
    catalog = stage.catalog_of([tenant, stranger], endpoint=runtime.url)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(stage.serving(postgres.api, catalog, capacity=request.param))
        clients = [await stack.enter_async_context(api.client(who.key)) for who in (tenant, stranger)]
        yield clients[0], clients[1]


@asynccontextmanager
async def hanging(client: httpx2.AsyncClient, runtime: Runtime, count: int) -> AsyncGenerator[list[Any]]:
    """Runs in progress inside the block; at its end they succeed."""
    runtime.scripts["wait"] = runtime.hang
    before = len(runtime.requests)
    asked = [asyncio.create_task(client.post(EXECUTE, json={"input": "wait"})) for _ in range(count)]

    async def all_run() -> bool:
        return len(runtime.requests) == before + count

    await until(all_run, what="the runs to begin")
    yield asked
    runtime.go_on.set()
    assert {(await one).json()["status"] for one in asked} == {"succeeded"}


@requirement("rate-limit")
@pytest.mark.parametrize("both", [Capacity(runs_per_tenant=2)], indirect=True)
async def test_a_tenant_has_so_many_runs_at_once_and_others_theirs(
    both: tuple[httpx2.AsyncClient, httpx2.AsyncClient], runtime: Runtime
) -> None:
    client, foreign = both
    async with hanging(client, runtime, 2):
        for key in ({}, {"Idempotency-Key": "k"}):
            refused = await client.post(EXECUTE, json={"input": "hello"}, headers=key)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_runs")
            assert int(refused.headers["retry-after"]) >= 1
            assert "2 runs in progress" in refused.json()["detail"]
        assert (await foreign.post(EXECUTE, json={"input": "hello"})).json()["status"] == "succeeded"
        assert len((await client.get("/api/v1/runs")).json()["items"]) == 2
    again = await client.post(EXECUTE, json={"input": "hello"}, headers={"Idempotency-Key": "k"})
    assert again.json()["status"] == "succeeded"


@pytest.mark.parametrize("both", [Capacity(runs_per_tenant=2)], indirect=True)
async def test_a_run_that_does_not_begin_takes_no_slot(
    both: tuple[httpx2.AsyncClient, httpx2.AsyncClient], runtime: Runtime
) -> None:
    client, _ = both
    async with hanging(client, runtime, 1):
        busy = (await client.get("/api/v1/runs")).json()["items"][0]["conversation_id"]
        for _ in range(3):
            answer = await client.post(EXECUTE, json={"input": "hello", "conversation_id": busy})
            assert answer.json()["code"] == "conversation_busy"
            answer = await client.post(EXECUTE, json={"input": "hello", "conversation_id": str(uuid4())})
            assert answer.status_code == 404
        assert (await client.post(EXECUTE, json={"input": "hello"})).status_code == 200


@pytest.mark.parametrize("failing", [(RunTask, "request"), (run_tokens, "sign")], ids=["request", "token"])
@pytest.mark.parametrize("both", [Capacity(runs_per_tenant=1)], indirect=True)
async def test_a_run_that_cannot_be_driven_keeps_no_slot(
    both: tuple[httpx2.AsyncClient, httpx2.AsyncClient], monkeypatch: pytest.MonkeyPatch, failing: tuple[object, str]
) -> None:
    client, _ = both

    def fail(*_values: object, **_named: object) -> None:
        raise RuntimeError("as when a key cannot be read")

    with monkeypatch.context() as patched:
        patched.setattr(*failing, fail)
        assert (await client.post(EXECUTE, json={"input": "hello"})).status_code == 500
    assert (await client.post(EXECUTE, json={"input": "hello"})).json()["status"] == "succeeded"

    async def closed() -> bool:
        runs = (await client.get("/api/v1/runs")).json()["items"]
        return sorted(run["status"] for run in runs) == ["interrupted", "succeeded"]

    await until(closed, what="the run that was not driven to be closed")


@pytest.mark.parametrize("both", [Capacity(followers_per_tenant=2)], indirect=True)
async def test_a_tenant_has_so_many_requests_that_wait(
    both: tuple[httpx2.AsyncClient, httpx2.AsyncClient], runtime: Runtime
) -> None:
    client, foreign = both
    async with hanging(client, runtime, 1):
        run_id = (await client.get("/api/v1/runs")).json()["items"][0]["id"]
        for _ in range(3):  # a follower that goes leaves its place
            async with client.stream("GET", f"/api/v1/runs/{run_id}/events") as followed:
                assert followed.status_code == 200
                refused = await client.get(f"/api/v1/runs/{run_id}/events")
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_followers")
                assert (await client.get(f"/api/v1/runs/{run_id}")).status_code == 200
                assert (await foreign.post(EXECUTE, json={"input": "hello"})).status_code == 200

            async def left() -> bool:
                async with client.stream("GET", f"/api/v1/runs/{run_id}/events") as response:
                    return bool(response.status_code == 200)

            await until(left, what="the follower's place")


@pytest.mark.parametrize("both", [Capacity(live_bytes=1024 * KB)], indirect=True)
async def test_a_run_that_would_fill_the_memory_ends(
    both: tuple[httpx2.AsyncClient, httpx2.AsyncClient], runtime: Runtime
) -> None:
    client, foreign = both

    async def talk(answer: Answer) -> None:
        for _ in range(9 if answer.text == "talk" else 4):
            await answer.send(MessageDone(message=Message(role="assistant", content="a" * 90_000)))
        await answer.say("done")

    runtime.scripts |= {"talk": talk, "talk less": talk}
    async with hanging(foreign, runtime, 3):
        run = (await client.post(EXECUTE, json={"input": "talk"})).json()
        assert (run["status"], run["error"]["code"]) == ("failed", "memory_exceeded")
        assert "Run fewer at once" in run["error"]["message"]
        assert len(run["messages"]) > 2, "what was said before stands"
        assert (await foreign.post(EXECUTE, json={"input": "hello"})).json()["status"] == "succeeded"

    async def fits() -> bool:
        answer = await client.post(EXECUTE, json={"input": "talk less"})
        return bool(answer.json().get("output") == "done")

    await until(fits, what="the memory to be given back")


def test_shares_bound_each_tenant_and_all_together() -> None:
    shares = Shares(10, per_tenant=8)
    assert shares.take(A, 8)
    assert not shares.take(A), "a tenant's own bound"
    assert shares.take(B, 5), "its part of ten for two, though another holds more than its part"
    assert not shares.take(B)
    assert shares.take(C, 3)
    assert not shares.take(C)
    shares.give(A, 8)
    assert shares.take(C, 2), "all together hold no more than ten"
    assert not shares.take(B)
    shares.give(B, 5)
    shares.give(C, 5)
    assert shares.take(A, 8)


def test_a_run_without_memory_takes_no_slot() -> None:
    slots = Slots(Capacity(runs_per_tenant=2, live_bytes=2 * RUN_BYTES))
    slot = slots.run(A)
    assert not slot.reserve(2 * RUN_BYTES)
    assert slot.reserve(RUN_BYTES)
    slot.end_run()
    for _ in range(3):
        with pytest.raises(TooManyRuns, match="memory"):
            slots.run(A)
    slot.free_memory()
    slots.run(A).release()
    assert slots.run(A).reserve(RUN_BYTES)


async def test_a_follower_gets_pieces() -> None:
    live = LiveRun(uuid4(), A)
    for size in (10, BATCH_BYTES, 1, *[1] * BATCH_EVENTS):
        live.publish("message.delta", "a" * size)
    live.finish(None)
    pieces = [[event.seq for event in piece] async for piece in live.follow(0)]
    assert [len(piece) for piece in pieces] == [2, BATCH_EVENTS, 1]
    assert [seq for piece in pieces for seq in piece] == list(range(1, BATCH_EVENTS + 4))
