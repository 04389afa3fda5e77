"""The server drains at the first signal and stops at the second."""

import asyncio
import signal
from typing import Any

from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.server import server


async def _nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """An application that is never called."""


async def test_the_first_signal_drains_and_then_stops() -> None:
    released = asyncio.Event()

    async def drain() -> None:
        await released.wait()

    process = server(_nothing, host="127.0.0.1", port=0, shutdown_seconds=40, drain=drain)
    process.handle_exit(signal.SIGTERM, None)
    stops = [process.should_exit]
    released.set()
    for _ in range(3):
        await asyncio.sleep(0)
    stops.append(process.should_exit)
    assert stops == [False, True], "connections are accepted while it drains"
    assert not process.force_exit


async def test_the_second_signal_stops_at_once() -> None:
    process = server(_nothing, host="127.0.0.1", port=0, shutdown_seconds=40, drain=asyncio.Event().wait)  # type: ignore[arg-type]
    process.handle_exit(signal.SIGTERM, None)
    process.handle_exit(signal.SIGTERM, None)
    assert process.should_exit


async def test_an_interrupt_stops_at_once_and_a_second_one_waits_for_nothing() -> None:
    process = server(_nothing, host="127.0.0.1", port=0, shutdown_seconds=40)
    process.handle_exit(signal.SIGINT, None)
    assert (process.should_exit, process.force_exit) == (True, False)
    process.handle_exit(signal.SIGINT, None)
    assert process.force_exit


def test_what_is_in_progress_has_as_long_as_the_drain_says() -> None:
    lifecycle = Lifecycle()
    lifecycle.drain(45)
    assert lifecycle.draining
    assert 44 < lifecycle.left() <= 45
