"""The queue: coalescing, one in flight, fairness, priorities and backoff."""

import asyncio

from agentic_core.backoff import Backoff
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.queue import BACKOFF, Priority, Queue, QueueClosed
from tests.operator.engine.tiny import AGENT
from tests.support.waiting import PATIENCE


def key(tenant: str, name: str | int = 0, controller: str = "tiny") -> ReconcileKey:
    return ReconcileKey(controller, AGENT.ref(f"agent-{name}", tenant))


def new(per_tenant: int = 100, backoff: Backoff = BACKOFF) -> Queue:
    return Queue(lambda key: key.ref.namespace or "", per_tenant=per_tenant, backoff=backoff)


async def drain(waiting: Queue) -> list[ReconcileKey]:
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


async def test_two_controllers_of_an_object_run_side_by_side_and_fail_by_themselves() -> None:
    waiting = new()
    one, other = key("a"), key("a", controller="other")
    waiting.add(one)
    waiting.add(other)
    assert [await waiting.take(), await waiting.take()] == [one, other]
    waiting.add(one)
    waiting.done(other)
    assert len(waiting) == 0
    waiting.done(one)
    assert await waiting.take() == one
    waiting.failed(one)
    assert waiting.failed(one) > 1.25 >= waiting.failed(other)
    waiting.close()


async def test_edits_go_first_and_cannot_starve_the_rest() -> None:
    waiting = new()
    waiting.add(key("a", "backlog"), Priority.BACKLOG)
    waiting.add(key("a", "event"), Priority.EVENT)
    for number in range(20):
        waiting.add(key("a", number), Priority.EDIT)
    order = [key.ref.name for key in await drain(waiting)]
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
    waiting = new(per_tenant=2)
    for number in range(5):
        waiting.add(key("slow", number))
    held = [await waiting.take(), await waiting.take()]
    waiting.add(key("other"))
    assert await waiting.take() == key("other")
    blocked = asyncio.create_task(waiting.take())
    await asyncio.sleep(0)
    assert not blocked.done()
    waiting.done(held[0])
    assert (await blocked).ref.namespace == "slow"


async def test_failures_wait_longer_each_time_up_to_five_minutes() -> None:
    waiting = new()
    pauses = [waiting.failed(key("a")) for _ in range(12)]
    assert all(0.75 * 2**n <= pause <= 1.25 * 2**n for n, pause in enumerate(pauses[:8]))
    assert all(0.75 * 300 <= pause <= 1.25 * 300 for pause in pauses[9:])
    waiting.succeeded(key("a"))
    assert waiting.failed(key("a")) <= 1.25
    waiting.close()


async def test_a_failed_key_comes_back_by_itself() -> None:
    waiting = new(backoff=Backoff(first=0.01, longest=1.0))
    waiting.failed(key("a"))
    assert len(waiting) == 0
    assert await asyncio.wait_for(waiting.take(), PATIENCE) == key("a")


async def test_closing_ends_all_who_wait() -> None:
    waiting = new()
    workers = [asyncio.create_task(waiting.take()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.close()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(result, QueueClosed) for result in results)
