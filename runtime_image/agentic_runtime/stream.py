"""The response to a run: drives the loop and writes its events to the client, keep-alive lines in the silences.

One per run, made by the endpoint. It ends the run when the client is gone or the server must stop, and closes the
stream with exactly one `final` or `error`.
"""

import asyncio
import traceback
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive, Send

from agentic_core import contract, telemetry
from agentic_core.contract import ErrorCode
from agentic_runtime.failures import RunFailed
from agentic_runtime.loop import Loop, RunJob
from agentic_runtime.runs import ActiveRuns

log = telemetry.logger(__name__)

HEADERS = [
    (b"content-type", contract.NDJSON.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
MAX_UNSENT = 65536
"""Bytes of events that wait to be written; a loop that makes more waits until they are."""


class RunStream:
    """Writes one run.

    Invariants: one task at a time writes events (`_flushing`, then `_close`), so that they keep their order; nothing is
    awaited between taking the buffer and replacing it; the loop has ended before the last event is written.
    """

    def __init__(self, receive: Receive, send: Send, *, runs: ActiveRuns, keepalive_seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._runs = runs
        self._keepalive_seconds = keepalive_seconds
        self._clock = asyncio.get_running_loop().time
        self._written = self._clock()
        self._unsent = bytearray()
        self._flushing: asyncio.Task[None] | None = None

    async def serve(self, loop: Loop, request: contract.RunRequest, token: str) -> str:
        """Run it to its end. Returns the outcome: `succeeded`, `cancelled`, or an error code."""
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        deadline = self._clock() + request.definition.limits.max_execution_time
        run = RunJob(request=request, token=token, emit=self._emit, deadline=deadline)
        work = asyncio.create_task(_outcome(loop.run(run)))
        gone = asyncio.create_task(self._disconnected())
        interrupted = asyncio.create_task(self._runs.interrupted.wait())
        try:
            await self._watch(work, gone, interrupted)
            if gone.done():
                return ErrorCode.CANCELLED
            event = work.result() if not work.cancelled() else INTERRUPTED
            await self._close(event)
        finally:
            await _end(work, gone, interrupted, *([self._flushing] if self._flushing else []))
        return event.error.code if isinstance(event, contract.Failed) else "succeeded"

    async def _watch(self, work: asyncio.Task[Any], *others: asyncio.Task[Any]) -> None:
        """Returns when the work is done, cancelled because one of the others was first."""
        while not work.done():
            silence = self._clock() - self._written
            wait = max(0.0, self._keepalive_seconds - silence)
            await asyncio.wait({work, *others}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if any(task.done() for task in others) and not work.done():
                await _end(work)
            elif not work.done() and self._clock() - self._written >= self._keepalive_seconds:
                await self._write(b"\n")

    async def _emit(self, event: contract.Event) -> None:
        """Events of one moment are one write: responses come in bursts, and each write is a system call."""
        self._unsent += contract.line(event)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        elif len(self._unsent) > MAX_UNSENT:
            await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        while self._unsent:
            taken, self._unsent = self._unsent, bytearray()
            await self._write(bytes(taken))
        self._flushing = None

    async def _close(self, event: contract.Event) -> None:
        if self._flushing is not None:
            await self._flushing
        await self._send({"type": "http.response.body", "body": contract.line(event)})

    async def _write(self, data: bytes) -> None:
        self._written = self._clock()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


INTERRUPTED = contract.Failed(
    error=contract.RunError(
        code=ErrorCode.INTERRUPTED,
        message="The runtime shut down before the run ended; what it produced until then stands.",
    )
)


async def _outcome(running: Coroutine[Any, Any, str]) -> contract.Final | contract.Failed:
    """The last event of a run."""
    try:
        return contract.Final(output=await running)
    except RunFailed as failure:
        log.info("run failed", code=failure.error.code)
        return contract.Failed(error=failure.error)
    except Exception as error:  # noqa: BLE001 - a stream always ends with an event
        log.error("run failed unexpectedly", error=type(error).__name__, at=_places(error))  # noqa: TRY400
        message = "The run failed inside the runtime; its logs have the cause under this run's id."
        return contract.Failed(error=contract.RunError(code=ErrorCode.INTERNAL, message=message))


def _places(error: BaseException) -> list[str]:
    """Where an error came from, without its message: that may quote the conversation."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks and waits until they have stopped."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
