"""Background tasks live as long as their block, and a failure of one is seen in the log and hurts no other."""

import asyncio
from typing import Never

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
