"""Drives one run: asks the runtime, keeps what it reports, and closes the run. The replica starts one for each run.

It depends on no client's connection. A run has two transactions, one when it begins and one when it ends; a long one
has more in between, so that little is lost with the process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from agentic_api.runs.follow.live import LiveRun
from agentic_api.runs.lifecycle.capacity import EVENT_BYTES, Place
from agentic_api.runs.lifecycle.runtime import NotStarted, RuntimeClient, Stopped
from agentic_api.runs.lifecycle.transcript import Transcript
from agentic_api.runs.schemas import Failure, Run, RunMessage
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import Closed, Closing
from agentic_core import telemetry
from agentic_core.contract import EVENT, Event, Failed, Final, RunError, RunRequest
from agentic_core.db import Database, faults

log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often and how long."""

    flush_seconds: float = 0.05
    """How long the first events wait to be stored; each time twice as long, while nobody follows from elsewhere."""
    flush_seconds_most: float = 0.4
    retries: tuple[float, ...] = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0)
    """Pauses between attempts to reach a runtime that has not begun the run."""
    grace_seconds: float = 15.0
    """How much longer than its agent's limit a run may take: the runtime is the one to enforce it."""
    patience_seconds: float = 300.0
    """How long the end of a run waits for a database that is unavailable."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be run and where."""

    run: Run
    """The run as it began."""
    tenant_id: UUID
    request: RunRequest = field(repr=False)
    endpoint: str
    token: str = field(repr=False)
    place: Place


@dataclass(frozen=True)
class Equipment:
    """What all drivers of a replica share."""

    database: Database
    runtimes: RuntimeClient
    replica: UUID
    pace: Pace
    announce: Callable[[UUID], Awaitable[None]]
    """Tells followers in other replicas that there is more."""


class Driver:
    """One run from its beginning to its end."""

    def __init__(self, task: Task, equipment: Equipment) -> None:
        self.task = task
        self.live = LiveRun(task.run.id, task.tenant_id)
        self.followed = False
        """Whether another replica wants to hear of progress."""
        self._equipment = equipment
        self._transcript = Transcript()
        self._stored = 0
        """Number of the last event that is in the database."""
        self._pause = equipment.pace.flush_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._consuming: asyncio.Task[RunError | None] | None = None
        self._stop: RunError | None = None
        self._lost = False

    async def drive(self) -> None:
        """Run to the end. Never raises for what a runtime or database does."""
        try:
            error = await self._consume_until_stopped()
            await self._settle_flushes()
            result = None if self._lost else await self._close(error)
        except Exception:
            # The lease runs out then, and a replica closes the run.
            log.exception("run_not_closed", run=str(self.live.id))
            result = None
        self.live.finish(result)
        if self.followed:
            await self._equipment.announce(self.live.id)

    def stop(self, error: RunError) -> None:
        """End the run now, for this reason."""
        self._stop = self._stop or error
        if self._consuming is not None:
            self._consuming.cancel()

    def lose(self) -> None:
        """Another replica has closed the run: stop without a word."""
        self._lost = True
        self.stop(RunError(code="interrupted", message="Another replica has closed the run."))

    async def _consume_until_stopped(self) -> RunError | None:
        if self._stop is not None:
            return self._stop
        self._consuming = asyncio.create_task(self._consume())
        await asyncio.wait((self._consuming,))
        if self._consuming.cancelled():
            return self._stop
        return self._consuming.result()

    async def _consume(self) -> RunError | None:
        limit = self.task.request.definition.limits.max_execution_time + self._equipment.pace.grace_seconds
        try:
            async with asyncio.timeout(limit):
                await self._ask_until_started()
        except Stopped as stopped:
            return stopped.error
        except TimeoutError:
            return RunError(code="max_execution_time_exceeded", message=f"The run took longer than {limit:.0f} s.")
        return None

    async def _ask_until_started(self) -> None:
        body = self.task.request.model_dump_json(by_alias=True).encode()
        self._hold(len(body))
        for pause in self._equipment.pace.retries:
            try:
                await self._ask(body)
            except NotStarted as reason:
                log.info("runtime_not_reached", run=str(self.live.id), reason=str(reason), retry_in=pause)
                await asyncio.sleep(pause)
            else:
                return
        await self._ask(body)

    async def _ask(self, body: bytes) -> None:
        answer = self._equipment.runtimes.run(self.task.endpoint, body, self.task.token)
        async with aclosing(answer) as events:
            async for event in events:
                if not self.live.events and isinstance(event, Failed) and event.error.code == "runtime_draining":
                    raise NotStarted(event.error.message)
                self._take(event)
                if isinstance(event, Final | Failed):
                    return

    def _take(self, event: Event) -> None:
        payload = EVENT.dump_json(event)
        self._hold(len(payload) + EVENT_BYTES)
        self._transcript.add(event)
        self.live.publish(event.type, payload.decode())
        if self._timer is None and self._flushing is None:
            self._schedule()

    def _hold(self, amount: int) -> None:
        if not self.task.place.grow(amount):
            raise Stopped(
                "memory_exceeded",
                "The runs that the tenant has in progress hold its share of the api replica's memory;"
                " run fewer at once, or let them say less.",
            )

    def _schedule(self) -> None:
        pause = self._equipment.pace.flush_seconds if self.followed else self._pause
        self._timer = asyncio.get_running_loop().call_later(pause, self._start_flush)

    def _start_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await self._record()
        except Exception as error:  # noqa: BLE001 - the events are still here; the next flush or the end stores them
            log.warning("events_not_stored", run=str(self.live.id), error=type(error).__name__)
        self._flushing = None
        self._pause = min(self._pause * 2, self._equipment.pace.flush_seconds_most)
        if self._stored < len(self.live.events):
            self._schedule()

    async def _record(self) -> None:
        batch = self.live.events[self._stored :]
        async with self._equipment.database.transaction(self.task.tenant_id) as transaction:
            held = await Journal(transaction).record(self.live.id, self._equipment.replica, batch)
        if not held:
            self.lose()
            return
        self._stored = batch[-1].seq
        if self.followed:
            await self._equipment.announce(self.live.id)

    async def _settle_flushes(self) -> None:
        if self._flushing is not None:
            await self._flushing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _close(self, error: RunError | None) -> Run | None:
        if error is not None and not self._transcript.ended:
            self._transcript.fail(error)
            self.live.publish("error", EVENT.dump_json(Failed(error=error)).decode())
        closing = closing_of(self._transcript, self.live, stored=self._stored)
        closed = await faults.retry_while_unavailable(
            lambda: self._write(closing), seconds=self._equipment.pace.patience_seconds
        )
        return self._result(closing, closed) if closed else None

    async def _write(self, closing: Closing) -> Closed | None:
        replica = self._equipment.replica
        async with self._equipment.database.transaction(self.task.tenant_id) as transaction:
            journal = Journal(transaction)
            closed = await journal.close(self.live.id, closing, holder=replica, closer=replica)
            if closed is None:  # an attempt before this one may have been committed without our hearing of it
                closed = await journal.closed_by(self.live.id, replica)
        return closed

    def _result(self, closing: Closing, closed: Closed) -> Run:
        said = [RunMessage.model_validate(item, from_attributes=True) for item in closing.messages]
        return self.task.run.model_copy(
            update={
                "status": closing.status,
                "output": closing.output,
                "error": closing.error,
                "usage": closed.usage,
                "cost": closed.cost,
                "finished_at": closed.finished_at,
                "messages": [*self.task.run.messages, *said],
                "tool_calls": list(closing.tools),
            }
        )


def closing_of(transcript: Transcript, live: LiveRun, *, stored: int) -> Closing:
    """The end of a run of which the events up to `stored` are in the database."""
    error = transcript.error
    return Closing(
        status=transcript.status,
        output=transcript.output,
        error=Failure(code=error.code, message=error.message) if error else None,
        messages=transcript.messages,
        tools=list(transcript.tools.values()),
        events=live.events[stored:],
        last_seq=len(live.events),
    )
