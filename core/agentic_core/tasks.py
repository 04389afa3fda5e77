"""Tasks and threads with a bounded life: started by a block or call, and awaited at its end.

Composition roots and whatever else has a loop of its own use it instead of creating and cancelling tasks by hand.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from agentic_core import telemetry

log = telemetry.logger(__name__)
Result = TypeVar("Result")


@asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, None]) -> AsyncGenerator[list[asyncio.Task[None]]]:
    """Run the coroutines while the block runs. One that raises is logged; the others and the block go on."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(_log_failure)
    try:
        yield tasks
    finally:
        await cancel(tasks)


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until they have ended; their errors are not raised."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def first_of(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait until one of the tasks ends, and raise its error."""
    done, _ = await asyncio.wait(list(tasks), return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def in_thread(function: Callable[[], Result]) -> Result:
    """The result of a function that runs in a thread.

    A thread cannot be cancelled: a caller that is cancelled waits for its end, so what it holds for it stays held.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.gather(work, return_exceptions=True)
        raise


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("background task failed", task=task.get_name(), exc_info=error)
