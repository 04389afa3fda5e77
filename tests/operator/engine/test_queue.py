"""The queue: coalescing, one in flight, fairness, priorities and backoff."""

import asyncio

import pytest

from agentic_core.cluster.kinds import Ref
from agentic_operator.engine import queue
from agentic_operator.engine.queue import Closed, Priority, Queue
from tests.operator.engine.tiny import AGENT
from tests.support.waiting import PATIENCE


def key(tenant: str, name: str | int = 0) -> Ref:
    return AGENT.ref(f"agent-{name}", tenant)


def new(share: int = 100) -> Queue:
    return Queue(lambda ref: ref.namespace or "", share=share)


async def drain(waiting: Queue) -> list[Ref]:
    taken = []
    while len(waiting):
        taken.append(await waiting.take())
        waiting.done(taken[-1])
    return taken


async def test_a_key_that_waits_is_not_queued_twice() -> None:
    waiting = new()
    for priority in (Priority.BACKLOG, Priority.EVENT, Priority.EDIT, Priority.EVENT):
        waiting.add(key("a"), priority)
    assert await drain(waiting) == [key("a")]
    assert waiting.quiet


async def test_a_key_in_flight_runs_again_only_after_it_is_done() -> None:
    waiting = new()
    waiting.add(key("a"))
    await waiting.take()
    waiting.add(key("a"))
    assert len(waiting) == 0
    waiting.done(key("a"))
    assert await waiting.take() == key("a")


async def test_edits_go_first_and_cannot_starve_the_rest() -> None:
    waiting = new()
    waiting.add(key("a", "backlog"), Priority.BACKLOG)
    waiting.add(key("a", "event"), Priority.EVENT)
    for number in range(20):
        waiting.add(key("a", number), Priority.EDIT)
    order = [ref.name for ref in await drain(waiting)]
    assert order[:7] == [f"agent-{number}" for number in range(7)]
    assert order.index("agent-backlog") == 7
    assert order.index("agent-event") == 15


async def test_tenants_take_turns() -> None:
    waiting = new()
    for number in range(1000):
        waiting.add(key("noisy", number))
    waiting.add(key("quiet"))
    assert key("quiet") in (await drain(waiting))[:2]


async def test_a_tenant_never_holds_all_workers() -> None:
    waiting = new(share=2)
    for number in range(5):
        waiting.add(key("slow", number))
    held = [await waiting.take(), await waiting.take()]
    waiting.add(key("other"))
    assert await waiting.take() == key("other")
    blocked = asyncio.create_task(waiting.take())
    await asyncio.sleep(0)
    assert not blocked.done()
    waiting.done(held[0])
    assert (await blocked).namespace == "slow"


async def test_failures_wait_longer_each_time_up_to_five_minutes() -> None:
    waiting = new()
    pauses = [waiting.failed(key("a")) for _ in range(12)]
    assert all(0.75 * 2**n <= pause <= 1.25 * 2**n for n, pause in enumerate(pauses[:8]))
    assert all(0.75 * 300 <= pause <= 1.25 * 300 for pause in pauses[9:])
    waiting.succeeded(key("a"))
    assert waiting.failed(key("a")) <= 1.25
    waiting.close()


async def test_a_failed_key_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "FIRST_PAUSE", 0.01)
    waiting = new()
    waiting.failed(key("a"))
    assert len(waiting) == 0
    assert await asyncio.wait_for(waiting.take(), PATIENCE) == key("a")


async def test_closing_ends_all_who_wait() -> None:
    waiting = new()
    workers = [asyncio.create_task(waiting.take()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.close()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(result, Closed) for result in results)
