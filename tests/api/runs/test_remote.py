"""Many who follow a run of another replica cost its database about as much as one."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from agentic_api.runs.follow.remote import Remote
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.contract import MessageDelta
from agentic_core.db import Database
from agentic_core.errors import NotFound
from tests.api.runs import stage
from tests.api.runs.runtime import Answer, Runtime
from tests.api.runs.stage import Tenant
from tests.api.runs.test_events import EXECUTE, events
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE, until

STEPS = 10


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often runs were looked at in the database."""
    counts: Counter[str] = Counter()

    def counted(owner: type, name: str) -> None:
        original: Any = getattr(owner, name)

        async def count(self: Any, *args: Any, **named: Any) -> Any:
            counts[f"{owner.__name__}.{name}"] += 1
            return await original(self, *args, **named)

        monkeypatch.setattr(owner, name, count)

    for owner, name in ((Journal, "progress"), (RunRepository, "get"), (RunRepository, "summary")):
        counted(owner, name)
    return counts


@pytest.fixture
async def second(postgres: PostgresDatabase, runtime: Runtime, tenant: Tenant) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of another replica, with as many connections as it likes."""
    catalog = stage.catalog_of([tenant], endpoint=runtime.url)
    limits = httpx2.Limits(max_connections=None)
    async with stage.serving(postgres.api, catalog) as started:
        headers = {"Authorization": f"Bearer {tenant.key}"}
        async with httpx2.AsyncClient(
            base_url=started.url, headers=headers, timeout=30, trust_env=False, limits=limits
        ) as opened:
            yield opened


@pytest.mark.parametrize("count", [1, 100])
async def test_followers_of_a_run_elsewhere_share_what_is_read_for_one(
    client: httpx2.AsyncClient, second: httpx2.AsyncClient, runtime: Runtime, reads: Counter[str], count: int
) -> None:
    steps: asyncio.Queue[None] = asyncio.Queue()

    async def speak(answer: Answer) -> None:
        runtime.began.set()
        for n in range(STEPS):
            await answer.send(MessageDelta(text=f"{n} "))
            next_step = asyncio.create_task(steps.get())
            while not next_step.done():
                await answer.write(b"\n")
                await asyncio.wait((next_step,), timeout=0.1)
        await answer.say("done")

    runtime.scripts["speak"] = speak
    running = asyncio.create_task(client.post(EXECUTE, json={"input": "speak"}))
    await runtime.began.wait()
    run_id = (await client.get("/api/v1/runs")).json()["items"][0]["id"]
    heard = [0] * count
    ends: list[dict[str, Any]] = []

    async def follow(who: int) -> None:
        async with second.stream("GET", f"/api/v1/runs/{run_id}/events") as response:
            async for event in events(response):
                heard[who] = event.id
        ends.append(event.data)

    followers = [asyncio.create_task(follow(who)) for who in range(count)]
    for step in range(1, STEPS + 1):

        async def all_heard(step: int = step) -> bool:
            assert not any(follower.done() for follower in followers)
            return min(heard) >= step

        await until(all_heard, what=f"all to hear event {step}")
        steps.put_nowait(None)
    await asyncio.gather(*followers)
    assert ends == [(await running).json()] * count
    print(f"\n{count} followers, {STEPS} steps: {sum(reads.values())} reads {dict(reads)}")
    assert sum(reads.values()) <= 5 * STEPS


async def test_followers_are_not_held_up_by_one_that_goes(database: Database, tenant: Tenant) -> None:
    remote = Remote(database, send)
    go_on = asyncio.Event()

    async def answer() -> str:
        await go_on.wait()
        return "answer"

    asked = [asyncio.create_task(remote.once("key", answer)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    await asyncio.wait(asked[:1])
    go_on.set()
    assert await asyncio.gather(*asked[1:]) == ["answer"] * 2


async def test_what_nobody_waits_for_is_not_asked_further(database: Database) -> None:
    remote = Remote(database, send)
    ended = asyncio.Event()

    async def answer() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asked = asyncio.create_task(remote.once("key", answer))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_an_error_is_for_those_who_wait_and_not_for_the_next(database: Database) -> None:
    remote = Remote(database, send)

    async def fail() -> str:
        raise NotFound("gone")

    async def succeed() -> str:
        return "here"

    failed = await asyncio.gather(*(remote.once("key", fail) for _ in range(2)), return_exceptions=True)
    assert [type(item) for item in failed] == [NotFound] * 2
    assert await remote.once("key", succeed) == "here"


async def test_another_tenant_that_asks_at_the_same_time_finds_nothing(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant, stranger: Tenant
) -> None:
    run_id = UUID((await client.post(EXECUTE, json={"input": "hello"})).json()["id"])
    remote = Remote(database, send)
    mine, other = await asyncio.gather(*(remote.read(who.id, run_id, after=0) for who in (tenant, stranger)))
    assert mine is not None
    assert len(mine.events) == 4
    assert other is None


async def send(_text: str) -> None:
    """Nobody hears it."""
