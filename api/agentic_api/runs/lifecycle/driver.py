"""Drives one run: sends it to the runtime, stores the events, and closes the run. The replica starts one for each run.

It depends on no client's connection. A run has two transactions, one when it begins and one when it ends; a long one
has more in between, so that little is lost with the process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from agentic_api.runs.follow.live import LiveRun
from agentic_api.runs.lifecycle.begin import RunTask
from agentic_api.runs.lifecycle.capacity import event_bytes
from agentic_api.runs.lifecycle.runtime_client import NotStarted, RuntimeClient, Stopped
from agentic_api.runs.lifecycle.transcript import Transcript
from agentic_api.runs.schemas import INLINE_BYTES, RunMessage, RunSummary
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import Closing, RunEnd
from agentic_core import bounded_json, telemetry
from agentic_core.backoff import Backoff
from agentic_core.bounded_json import VALUE_BYTES
from agentic_core.contract import ErrorCode, Event, Failed, Final, RunError, RunRequest, write_request
from agentic_core.db import Database, faults

log = telemetry.logger(__name__)
NOT_SHOWN = {"message.delta", "usage"}
"""Events that are no part of a run's JSON."""


@dataclass(frozen=True)
class DriverTiming:
    """How often and how long."""

    flush_seconds: float = 0.05
    """How long the first events wait to be stored; each time twice as long, while no other replica follows."""
    max_flush_seconds: float = 0.4
    retry: Backoff = field(default_factory=lambda: Backoff(first=0.125, longest=4.0))
    """Pauses between attempts to reach a runtime that has not begun the run."""
    attempts: int = 7
    grace_seconds: float = 15.0
    """How much longer than its agent's limit a run may take: the runtime is the one to enforce it."""
    close_seconds: float = 300.0
    """How long the end of a run waits for a database that is unavailable."""


@dataclass(frozen=True)
class DriverContext:
    """What all drivers of a replica share."""

    database: Database
    runtimes: RuntimeClient
    replica: UUID
    timing: DriverTiming
    announce: Callable[[UUID], Awaitable[None]]
    """Notifies followers in other replicas that there is more."""


class Driver:
    """One run from its beginning to its end.

    Invariants:
    - At most one of the two: a timer is set, or a flush is in progress. So events are stored in order.
    - A flush takes its batch before it waits, and counts it as stored only when the transaction is committed.
    - The run is closed after the last flush has ended and no timer is set: each event is stored by a flush or by the
      closing transaction.
    - A driver that has lost its run writes nothing more.
    """

    def __init__(self, task: RunTask, request: RunRequest, token: str, context: DriverContext) -> None:
        self.task = task
        self.request = request
        self.live = LiveRun(task.run.id, task.new.tenant_id)
        self.followed = False
        """Whether another replica follows the run."""
        self._token = token
        self._context = context
        self._transcript = Transcript()
        self._stored = 0
        """Number of the last event that is in the database."""
        self._pause = context.timing.flush_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._consuming: asyncio.Task[RunError | None] | None = None
        self._stop: RunError | None = None
        self._lost = False

    async def drive(self) -> None:
        """Run to the end. Never raises for what a runtime or database does."""
        try:
            error = await self._consume_until_stopped()
            await self._finish_flushes()
            result = None if self._lost else await self._close(error)
        except Exception:
            # The lease expires then, and a replica closes the run.
            log.exception("run not closed", run=str(self.live.id))
            result = None
        self.live.finish(result)
        if self.followed:
            await self._context.announce(self.live.id)

    def stop(self, error: RunError) -> None:
        """End the run now, for this reason."""
        self._stop = self._stop or error
        if self._consuming is not None:
            self._consuming.cancel()

    def lose(self) -> None:
        """Another replica has closed the run: stop and write nothing more."""
        self._lost = True
        self.stop(RunError(code=ErrorCode.INTERRUPTED, message="Another replica has closed the run."))

    async def _consume_until_stopped(self) -> RunError | None:
        if self._stop is not None:
            return self._stop
        self._consuming = asyncio.create_task(self._consume())
        await asyncio.wait((self._consuming,))
        if self._consuming.cancelled():
            return self._stop
        return self._consuming.result()

    async def _consume(self) -> RunError | None:
        limit = self.request.definition.limits.max_execution_time + self._context.timing.grace_seconds
        try:
            async with asyncio.timeout(limit):
                await self._send_until_started()
        except Stopped as stopped:
            return stopped.error
        except TimeoutError:
            return RunError(
                code=ErrorCode.MAX_EXECUTION_TIME_EXCEEDED, message=f"The run took longer than {limit:.0f} s."
            )
        return None

    async def _send_until_started(self) -> None:
        body = write_request(self.request)
        self._reserve(len(body) + VALUE_BYTES * bounded_json.count(body))
        timing = self._context.timing
        for failures in range(1, timing.attempts):
            try:
                await self._send(body)
            except NotStarted as reason:
                pause = max(timing.retry.pause(failures), reason.retry_after)
                log.info("runtime not reached", run=str(self.live.id), reason=str(reason), retry_in=round(pause, 3))
                await asyncio.sleep(pause)
            else:
                return
        await self._send(body)

    async def _send(self, body: bytes) -> None:
        response = self._context.runtimes.run(
            self.task.new.agent.endpoint, body, self._token, tenant=str(self.task.new.tenant_id)
        )
        async with aclosing(response) as events:
            async for event in events:
                if (
                    not self.live.events
                    and isinstance(event, Failed)
                    and event.error.code == ErrorCode.RUNTIME_DRAINING
                ):
                    raise NotStarted(event.error.message)
                self._add(event)
                if isinstance(event, Final | Failed):
                    return

    def _add(self, event: Event) -> None:
        payload = event.model_dump_json()  # with defaults, unlike the runtime's line: clients rely on each field
        self._reserve(event_bytes(event, payload.encode()))
        self._transcript.add(event)
        self.live.publish(event.type, payload)
        if self._timer is None and self._flushing is None:
            self._schedule_flush()

    def _reserve(self, amount: int) -> None:
        if not self.task.slot.reserve(amount):
            raise Stopped(
                ErrorCode.MEMORY_EXCEEDED,
                "This tenant's active runs exceed its memory share on this replica of the api. Run fewer at once.",
            )

    def _schedule_flush(self) -> None:
        pause = self._context.timing.flush_seconds if self.followed else self._pause
        self._timer = asyncio.get_running_loop().call_later(pause, self._start_flush)

    def _start_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await self._record()
        except Exception as error:  # noqa: BLE001 - the events are still here; the next flush or the end stores them
            log.warning("events not stored", run=str(self.live.id), error=type(error).__name__)
        self._flushing = None
        self._pause = min(self._pause * 2, self._context.timing.max_flush_seconds)
        if self._stored < len(self.live.events):
            self._schedule_flush()

    async def _record(self) -> None:
        batch = self.live.events[self._stored :]
        async with self._context.database.transaction(self.task.new.tenant_id) as transaction:
            held = await Journal(transaction).record(self.live.id, self._context.replica, batch)
        if not held:
            self.lose()
            return
        self._stored = batch[-1].seq
        if self.followed:
            await self._context.announce(self.live.id)

    async def _finish_flushes(self) -> None:
        if self._flushing is not None:
            await self._flushing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _close(self, error: RunError | None) -> RunSummary | None:
        if error is not None and not self._transcript.ended:
            self._transcript.fail(error)
            self.live.publish("error", Failed(error=error).model_dump_json())
        events = self.live.events
        closing = self._transcript.closing(events[self._stored :], last_seq=len(events))
        end = await faults.retry_while_unavailable(
            lambda: self._write(closing), seconds=self._context.timing.close_seconds
        )
        return self._result(closing, end) if end else None

    async def _write(self, closing: Closing) -> RunEnd | None:
        replica = self._context.replica
        async with self._context.database.transaction(self.task.new.tenant_id) as transaction:
            journal = Journal(transaction)
            end = await journal.close(self.live.id, closing, holder=replica, closer=replica)
            if end is None:  # an attempt before this one may have been committed without our notice
                end = await journal.closed_by(self.live.id, replica)
        return end

    def _result(self, closing: Closing, end: RunEnd) -> RunSummary:
        begun = self.task.run
        ended = begun.model_copy(
            update={
                "status": closing.status,
                "output": closing.output,
                "error": closing.error,
                "usage": end.usage,
                "cost": end.cost,
                "finished_at": end.finished_at,
            }
        )
        if sum(len(event.payload) for event in self.live.events if event.type not in NOT_SHOWN) > INLINE_BYTES:
            return ended.summary()
        added = [RunMessage.model_validate(item, from_attributes=True) for item in closing.messages]
        shown = {"messages": [*begun.messages, *added], "tool_calls": list(closing.tools)}
        return ended.model_copy(update=shown).bounded()
