"""Callers share one call; it goes on for the others when one is cancelled; errors are not cached."""

import asyncio
import itertools

import pytest
from cachetools import TTLCache

from agentic_core.single_flight import SingleFlight


class Source:
    """Counts its loads, each of which waits for `release`."""

    def __init__(self) -> None:
        self.loads = 0
        self.cancelled = 0
        self.release = asyncio.Event()

    async def load(self) -> int:
        self.loads += 1
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.loads


async def test_callers_at_the_same_time_share_one_call() -> None:
    source, flights = Source(), SingleFlight[str, int]()
    callers = [asyncio.create_task(flights.get("key", source.load)) for _ in range(100)]
    await asyncio.sleep(0)
    source.release.set()
    assert await asyncio.gather(*callers) == [1] * 100
    assert await flights.get("key", source.load) == 2, "without a cache the next caller calls again"


async def test_a_caller_that_leaves_does_not_end_the_call_for_others() -> None:
    source, flights = Source(), SingleFlight[str, int]()
    first, second = (asyncio.create_task(flights.get("key", source.load)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    source.release.set()
    assert await second == 1


async def test_the_call_is_cancelled_with_its_last_caller() -> None:
    source, flights = Source(), SingleFlight[str, int]()
    caller = asyncio.create_task(flights.get("key", source.load))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    await asyncio.sleep(0)
    assert source.cancelled == 1
    source.release.set()
    assert await flights.get("key", source.load) == 2


async def test_results_are_cached_until_they_expire() -> None:
    now = 0.0
    source = Source()
    source.release.set()
    flights = SingleFlight[str, int](TTLCache(10, ttl=5, timer=lambda: now))
    assert await flights.get("key", source.load) == 1
    assert await flights.get("key", source.load) == 1
    now = 6.0
    assert await flights.get("key", source.load) == 2


async def test_an_error_reaches_all_callers_and_is_not_cached() -> None:
    async def fails() -> int:
        raise RuntimeError("broken")

    flights = SingleFlight[str, int](TTLCache(10, ttl=5))
    results = await asyncio.gather(*(flights.get("key", fails) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError] * 3
    with pytest.raises(RuntimeError):
        await flights.get("key", fails)


async def test_a_forgotten_key_does_not_cache_the_call_in_progress() -> None:
    source = Source()
    cache: TTLCache[str, int] = TTLCache(10, ttl=5)
    flights = SingleFlight[str, int](cache)
    caller = asyncio.create_task(flights.get("key", source.load))
    await asyncio.sleep(0)
    flights.forget("key")
    source.release.set()
    assert await caller == 1
    assert "key" not in cache


async def test_a_result_that_expires_between_two_looks_is_loaded_again() -> None:
    ticks = itertools.count()
    single = SingleFlight[str, int](TTLCache(10, ttl=2, timer=lambda: next(ticks)))
    loads = itertools.count()

    async def load() -> int:
        return next(loads)

    results = [await single.get("key", load) for _ in range(20)]
    assert results == sorted(results)
    assert results[-1] > 0
