"""Slots that tenants share: nobody waits behind what one tenant has queued, and no slot is lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_core.fair_slots import FairSlots
from agentic_core.tasks import cancel


async def turns(times: int = 5) -> None:
    """Let tasks that can go on do so."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_tenant_holds_its_own_limit_and_leaves_the_rest() -> None:
    slots = FairSlots(4, per_tenant=2)
    many = [asyncio.create_task(slots.acquire("alpha")) for _ in range(100)]
    await turns()
    assert sum(task.done() for task in many) == 2
    async with asyncio.timeout(1):
        await slots.acquire("beta")
        await slots.acquire("gamma")
    late = asyncio.create_task(slots.acquire("delta"))
    await turns()
    assert not late.done(), "all slots are held"
    slots.release("beta")
    await turns()
    assert late.done(), "the next slot is for a tenant within its limit, not for the one with a long queue"
    await cancel(many)


async def test_each_tenant_is_next_after_a_bounded_number_of_others() -> None:
    slots, order = FairSlots(1, per_tenant=1), list[str]()

    async def use(tenant: str) -> None:
        async with slots.slot(tenant):
            order.append(tenant)
            await asyncio.sleep(0)

    await asyncio.gather(*(use("alpha") for _ in range(50)), use("beta"), use("gamma"))
    assert {"beta", "gamma"} < set(order[:4])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_no_slot_is_lost_whoever_gives_up(steps: list[tuple[str, bool]]) -> None:
    async def run() -> None:
        slots = FairSlots(3, per_tenant=2)

        async def use(tenant: str) -> None:
            async with slots.slot(tenant):
                await turns(2)

        tasks = []
        for tenant, gives_up in steps:
            tasks.append(task := asyncio.create_task(use(tenant)))
            await turns(1)
            if gives_up:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not slots._tenants
        async with asyncio.timeout(1):
            for tenant in "aab":
                await slots.acquire(tenant)

    asyncio.run(run())


async def test_a_slot_is_released_when_its_block_fails() -> None:
    slots = FairSlots(1, per_tenant=1)
    with pytest.raises(ValueError, match="it"):
        async with slots.slot("alpha"):
            raise ValueError("it")
    async with asyncio.timeout(1), slots.slot("beta"):
        pass
