"""Background tasks live as long as their block, and a failure of one is seen in the log and hurts no other."""

import asyncio
import threading
from typing import Never

import pytest
from structlog.testing import capture_logs

from agentic_core import tasks


async def test_tasks_end_with_the_block() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with tasks.background(forever()) as running:
        await asyncio.sleep(0)
        assert not running[0].done()
    assert ended.is_set()


async def test_a_task_that_fails_is_logged_and_the_others_go_on() -> None:
    async def fails() -> Never:
        raise RuntimeError("broken")

    async def forever() -> None:
        await asyncio.Event().wait()

    with capture_logs() as logs:
        async with tasks.background(fails(), forever()) as (failed, other):
            await asyncio.wait([failed])
            await asyncio.sleep(0)
            assert not other.done()
    assert [line["event"] for line in logs] == ["background task failed"]


async def test_a_caller_that_is_cancelled_waits_for_the_end_of_its_thread() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait()
        ended.set()

    call = asyncio.create_task(tasks.in_thread(work))
    await asyncio.to_thread(begun.wait)
    call.cancel()
    await asyncio.sleep(0)
    assert not call.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()
