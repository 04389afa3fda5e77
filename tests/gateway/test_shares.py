"""Shares of tenants in a gateway: slots of calls, permits for what they hold in memory, all of them given back."""

import asyncio
import threading
from contextlib import ExitStack
from uuid import UUID

import pytest

from agentic_core.fair_semaphore import Exhausted, FairSemaphore
from agentic_gateway.shares import (
    GROWTH,
    PARSED_ON_LOOP,
    SMALL_BYTES,
    CallShares,
    GatewayBusy,
    ResponseNotHeld,
    ShareLimits,
)

ONE, OTHER = UUID(int=1), UUID(int=2)
MIB = 2**20
LIMITS = ShareLimits(
    calls=3,
    calls_per_tenant=2,
    request_bytes=3 * MIB,
    request_bytes_per_tenant=2 * MIB,
    response_bytes=4 * MIB,
    response_bytes_per_tenant=3 * MIB,
    wait_seconds=0,
)


def test_a_tenant_has_its_slots_and_they_come_back() -> None:
    shares = CallShares(LIMITS)
    for _ in range(3):
        with ExitStack() as held:
            for _ in range(2):
                held.enter_context(shares.call(ONE))
            with pytest.raises(GatewayBusy) as refused, shares.call(ONE):
                pass
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "2")
            held.enter_context(shares.call(OTHER))


async def test_requests_hold_what_they_have_once_they_are_read() -> None:
    shares = CallShares(LIMITS)
    async with shares.memory(ONE, 2 * MIB) as memory:
        with pytest.raises(GatewayBusy):
            async with shares.memory(ONE, MIB):
                pass
        memory.request_read(MIB)
        assert shares.held_bytes() == {"request": MIB, "response": 0}
        async with shares.memory(ONE, MIB), shares.memory(OTHER, MIB), shares.memory(ONE, SMALL_BYTES):
            assert shares.held_bytes()["request"] == 3 * MIB
            with pytest.raises(GatewayBusy):
                async with shares.memory(OTHER, MIB):
                    pass
    assert shares.held_bytes() == {"request": 0, "response": 0}


async def test_responses_hold_more_as_they_grow() -> None:
    shares = CallShares(LIMITS)
    async with shares.memory(ONE, 0) as memory:
        held: set[int] = set()
        for size in range(0, MIB + 1, 1024):
            await memory.hold_response(size, max_bytes=MIB)
            held.add(shares.held_bytes()["response"])
            assert size <= max(SMALL_BYTES, shares.held_bytes()["response"])
        assert held == {0, SMALL_BYTES * GROWTH, MIB}
        async with shares.memory(ONE, 0) as second:
            with pytest.raises(ResponseNotHeld) as dropped:
                await second.hold_response(3 * MIB, max_bytes=3 * MIB)
    assert shares.held_bytes() == {"request": 0, "response": 0}
    assert (dropped.value.status, dropped.value.headers["x-should-retry"]) == (503, "false"), "it was paid for once"


async def test_a_call_that_is_cancelled_while_it_waits_holds_nothing() -> None:
    shares = CallShares(ShareLimits(**{**vars(LIMITS), "wait_seconds": 60}))

    async def call() -> None:
        async with shares.memory(ONE, 2 * MIB):
            await asyncio.Event().wait()

    calls = [asyncio.create_task(call()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in reversed(calls):
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert shares.held_bytes() == {"request": 0, "response": 0}


async def test_large_json_is_parsed_off_the_loop_one_at_a_time() -> None:
    shares = CallShares(LIMITS)
    parsing: list[int] = []
    most: list[int] = []

    def parse() -> int:
        parsing.append(1)
        most.append(len(parsing))
        parsing.pop()
        return threading.get_ident()

    async with shares.memory(ONE, 0) as one, shares.memory(OTHER, 0) as other:
        assert await one.parse_request(parse, PARSED_ON_LOOP) == threading.get_ident()
        threads = await asyncio.gather(*(memory.parse_response(parse, MIB) for memory in (one, other) * 10))
    assert threading.get_ident() not in threads
    assert set(most) == {1}


async def test_a_call_that_waits_too_long_to_be_parsed_is_refused_and_a_response_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = CallShares(LIMITS)

    async def exhausted(*_what: object, **_how: object) -> None:
        raise Exhausted

    async with shares.memory(ONE, 0) as memory:
        monkeypatch.setattr(FairSemaphore, "acquire", exhausted)
        with pytest.raises(GatewayBusy):
            await memory.parse_request(dict, MIB)
        with pytest.raises(ResponseNotHeld):
            await memory.parse_response(dict, MIB)
