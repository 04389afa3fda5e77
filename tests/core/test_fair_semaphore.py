"""Permits that tenants wait for: never more than there are, in order, and none lost."""

import asyncio
import random
from uuid import UUID, uuid4

import pytest

from agentic_core.fair_semaphore import Exhausted, FairSemaphore

A, B, C = uuid4(), uuid4(), uuid4()
LONG = 60.0


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_permits_that_are_free_are_granted_at_once_and_given_back() -> None:
    semaphore = FairSemaphore[UUID](10, per_tenant=6)
    async with semaphore.hold(A, 6, seconds=0), semaphore.hold(B, 4, seconds=0):
        assert (semaphore.held(A), semaphore.held(B), semaphore.total) == (6, 4, 10)
    assert semaphore.total == 0


@pytest.mark.parametrize(("tenant", "weight"), [(A, 3), (B, 5)])
async def test_more_than_the_tenants_share_or_the_capacity_is_refused_after_the_wait(tenant: UUID, weight: int) -> None:
    semaphore = FairSemaphore[UUID](10, per_tenant=8)
    async with semaphore.hold(A, 6, seconds=0):
        with pytest.raises(Exhausted):
            await semaphore.acquire(tenant, weight, seconds=0.01)
        assert semaphore.total == 6
    async with semaphore.hold(tenant, weight, seconds=0):
        pass


async def test_more_than_a_tenant_may_ever_hold_is_refused_without_waiting() -> None:
    with pytest.raises(Exhausted):
        await FairSemaphore[UUID](10, per_tenant=5).acquire(A, 6, seconds=LONG)


async def test_waiters_of_a_tenant_are_granted_in_their_order_and_later_small_ones_do_not_overtake() -> None:
    semaphore = FairSemaphore[UUID](10, per_tenant=10)
    order: list[int] = []

    async def one(weight: int) -> None:
        async with semaphore.hold(A, weight, seconds=LONG):
            order.append(weight)
            await _turn()

    await semaphore.acquire(A, 5, seconds=0)
    async with asyncio.TaskGroup() as group:
        for weight in (9, 1, 2):
            group.create_task(one(weight))
        await _turn()
        assert order == []
        semaphore.release(A, 5)
    assert order == [9, 1, 2]


async def test_a_tenant_that_waits_for_its_own_share_does_not_keep_others_waiting() -> None:
    semaphore = FairSemaphore[UUID](10, per_tenant=5)
    await semaphore.acquire(A, 5, seconds=0)
    waiting = asyncio.create_task(semaphore.acquire(A, 5, seconds=LONG))
    await _turn()
    async with semaphore.hold(B, 5, seconds=0):
        assert not waiting.done()
    semaphore.release(A, 5)
    await waiting
    assert semaphore.held(A) == 5


async def test_freed_permits_go_to_the_tenant_that_holds_least() -> None:
    semaphore = FairSemaphore[UUID](10, per_tenant=9)
    await semaphore.acquire(A, 8, seconds=0)
    await semaphore.acquire(C, 2, seconds=0)
    first = asyncio.create_task(semaphore.acquire(A, 1, seconds=LONG))
    await _turn()
    second = asyncio.create_task(semaphore.acquire(B, 2, seconds=LONG))
    await _turn()
    semaphore.release(C, 2)
    await second
    assert not first.done()
    semaphore.release(A, 1)
    await first


@pytest.mark.parametrize("granted_too", [False, True])
async def test_a_waiter_that_is_cancelled_leaves_nothing_taken(granted_too: bool) -> None:
    semaphore = FairSemaphore[UUID](10, per_tenant=10)
    await semaphore.acquire(A, 10, seconds=0)
    waiting = asyncio.create_task(semaphore.acquire(B, 4, seconds=LONG))
    await _turn()
    waiting.cancel()
    if granted_too:
        semaphore.release(A, 10)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert semaphore.held(B) == 0
    assert semaphore.total == (0 if granted_too else 10)


async def test_a_waiter_that_gives_up_lets_those_behind_it_through() -> None:
    semaphore = FairSemaphore[UUID](10, per_tenant=10)
    await semaphore.acquire(A, 5, seconds=0)
    large = asyncio.create_task(semaphore.acquire(A, 10, seconds=LONG))
    await _turn()
    small = asyncio.create_task(semaphore.acquire(A, 5, seconds=LONG))
    await _turn()
    assert not small.done()
    large.cancel()
    await small
    assert semaphore.held(A) == 10


@pytest.mark.parametrize("seed", range(20))
async def test_bounds_hold_and_nothing_is_lost_whatever_is_cancelled_when(seed: int) -> None:
    dice = random.Random(seed)
    semaphore = FairSemaphore[UUID](20, per_tenant=12)

    async def one() -> None:
        tenant = dice.choice((A, B, C))
        async with semaphore.hold(tenant, dice.randint(1, 12), seconds=dice.choice((0.001, LONG))):
            assert semaphore.total <= 20
            assert semaphore.held(tenant) <= 12
            for _ in range(dice.randint(0, 5)):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(one()) for _ in range(200)]
    for task in dice.sample(tasks, 60):
        await asyncio.sleep(0)
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {type(None), Exhausted, asyncio.CancelledError}
    assert semaphore.total == 0
    for tenant in (A, B, C):
        async with semaphore.hold(tenant, 12, seconds=0):
            pass


async def test_each_tenant_is_next_after_a_bounded_number_of_others() -> None:
    semaphore = FairSemaphore[str](1, per_tenant=1)
    order: list[str] = []

    async def use(tenant: str) -> None:
        async with semaphore.hold(tenant, 1, seconds=None):
            order.append(tenant)
            await asyncio.sleep(0)

    await asyncio.gather(*(use("alpha") for _ in range(50)), use("beta"), use("gamma"))
    assert {"beta", "gamma"} < set(order[:4])


async def test_permits_are_released_when_their_block_fails() -> None:
    semaphore = FairSemaphore[str](1, per_tenant=1)
    with pytest.raises(ValueError, match="it"):
        async with semaphore.hold("alpha", 1, seconds=None):
            raise ValueError("it")
    assert semaphore.total == 0
