"""Waiting for conditions, the only place where tests sleep; tests of everything and what they share use it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE = 25.0
"""Seconds for what takes one at most: enough on a busy machine, less than what tests shorten takes by default (30)."""
LONG = 60.0
"""Seconds for conditions that several processes work on. Only failing tests wait so long."""

Value = TypeVar("Value")


async def until(probe: Callable[[], Awaitable[Value | None]], what: str, *, seconds: float = LONG) -> Value:
    """The first result of the coroutine function `probe` that is true; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := await probe()):
        assert time.monotonic() < deadline, _in_vain(what, seconds, found)
        await asyncio.sleep(0.02)
    return found


def until_sync(probe: Callable[[], Value | None], what: str, *, seconds: float = LONG) -> Value:
    """The same of a function, for tests without an event loop."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, _in_vain(what, seconds, found)
        time.sleep(0.1)
    return found


def _in_vain(what: str, seconds: float, found: object) -> str:
    return f"waited {seconds:g} s in vain for {what}; last seen: {found!r}"
