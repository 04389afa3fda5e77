"""One call for all who need its result at the same time, with an optional cache of results.

Used where many requests look up the same thing at once: API keys, provider keys, runs that another replica drives.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Hashable, MutableMapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class _Missing:
    """No cached result; None may be one."""


_MISSING = _Missing()


@dataclass
class _Flight(Generic[ValueT]):
    task: asyncio.Task[ValueT]
    waiting: int = 0


class SingleFlight(Generic[KeyT, ValueT]):
    """Calls in progress by key. Keys name the tenant wherever results are a tenant's.

    Invariants: at most one task per key; a task is cancelled when its last caller is; errors are never cached.
    """

    def __init__(self, cache: MutableMapping[KeyT, ValueT] | None = None) -> None:
        """`cache` bounds and expires results, for example a `cachetools.TTLCache`; without it none is kept."""
        self._cache = cache
        self._flights: dict[KeyT, _Flight[ValueT]] = {}

    async def get(self, key: KeyT, load: Callable[[], Coroutine[Any, Any, ValueT]]) -> ValueT:
        """The cached result, the result of the call in progress, or that of a new call of `load`."""
        if self._cache is not None:
            # One look: between two of them an entry may expire.
            cached = self._cache.get(key, _MISSING)
            if not isinstance(cached, _Missing):
                return cached
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(load()))
            flight.task.add_done_callback(functools.partial(self._landed, key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
                self._forget(key, flight)

    def forget(self, key: KeyT) -> None:
        """Drop the result of a key, and do not cache that of the call in progress."""
        if self._cache is not None:
            self._cache.pop(key, None)
        self._flights.pop(key, None)

    def _landed(self, key: KeyT, flight: _Flight[ValueT], task: asyncio.Task[ValueT]) -> None:
        current = self._forget(key, flight)
        succeeded = not task.cancelled() and task.exception() is None
        if current and succeeded and self._cache is not None:
            self._cache[key] = task.result()

    def _forget(self, key: KeyT, flight: _Flight[ValueT]) -> bool:
        current = self._flights.get(key) is flight
        if current:
            del self._flights[key]
        return current
