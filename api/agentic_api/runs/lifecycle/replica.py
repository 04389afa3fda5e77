"""The runs that this process drives, with their leases, cancellation, and the drain at the end.

The composition root opens one a process; the service has runs driven and finds them in it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from opentelemetry.trace import Span, SpanKind

from agentic_api.runs.follow.live import LiveRun
from agentic_api.runs.follow.remote import Remote
from agentic_api.runs.lifecycle.begin import RunTask
from agentic_api.runs.lifecycle.capacity import Capacity, RunSlot, Slots
from agentic_api.runs.lifecycle.driver import Driver, DriverContext, DriverTiming
from agentic_api.runs.lifecycle.leases import CANCELLED, Leases, LeaseTimes
from agentic_api.runs.lifecycle.metrics import RunMetrics
from agentic_api.runs.lifecycle.runtime_client import Bounds, RuntimeClient
from agentic_api.runs.lifecycle.sweep import Sweeper
from agentic_api.runs.schemas import RunSummary
from agentic_api.runs.storage.journal import Journal
from agentic_core import attributes, tasks, telemetry
from agentic_core.contract import ErrorCode, RunError, RunRequest
from agentic_core.db import Database, faults
from agentic_core.db.notices import Notices
from agentic_core.egress import GuardedClient

CHANNEL = "agentic_runs"
DRAINED = RunError(code=ErrorCode.INTERRUPTED, message="The api replica that drove the run was shut down.")
KEEP_SECONDS = 2.0
"""How long a run that has ended stays in memory, for requests that wait for it or are repeated."""
log = telemetry.logger(__name__)


@dataclass(frozen=True)
class RunTiming:
    """All times of runs."""

    driver: DriverTiming = field(default_factory=DriverTiming)
    leases: LeaseTimes = field(default_factory=LeaseTimes)
    bounds: Bounds = field(default_factory=Bounds)
    drain_seconds: float = 10.0
    """How long runs may go on once the server has stopped, at least."""


class Replica:
    """This process, one of several that drive runs."""

    def __init__(
        self,
        database: Database,
        http: GuardedClient,
        metrics: RunMetrics,
        *,
        timing: RunTiming,
        capacity: Capacity,
        notices: Callable[..., Notices] = Notices,
        left: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`left` returns the seconds that runs may still go on after the process has begun to shut down."""
        self.id = uuid4()
        self.timing = timing
        self.slots = Slots(capacity)
        self._metrics = metrics
        self._left = left
        self._drivers: dict[UUID, Driver] = {}
        self._ended: dict[UUID, LiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling: dict[UUID, asyncio.Task[None]] = {}
        """Looks for a requested end, by run."""
        self._notices = notices(database.dsn, CHANNEL, on_message=self._receive)
        self.remote = Remote(database, self._notices.send)
        runtimes = RuntimeClient(http, timing.bounds)
        self._context = DriverContext(database, runtimes, self.id, timing.driver, self._announce)
        sweeper = Sweeper(database, self.id, timing.leases.sweep_seconds, metrics.closed)
        self._leases = Leases(database, self.id, timing.leases, self._drivers.values, sweeper)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Replica"]:
        """Keep leases and receive notices inside the block; at its end, let the runs end."""
        async with self._notices.listening(), tasks.background(self._leases.keep()):
            yield self
            await self._drain()

    def drive(self, task: RunTask, request: RunRequest, token: str) -> LiveRun:
        """Start a run that has begun in the database."""
        driver = Driver(task, request, token, self._context)
        self._drivers[driver.live.id] = driver
        running = asyncio.create_task(self._drive(driver))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return driver.live

    async def _drive(self, driver: Driver) -> None:
        request, slot = driver.request, driver.task.slot
        with self._metrics.running():
            try:
                with telemetry.log_context(run=request.run_id, tenant=request.tenant), _span(request) as span:
                    await driver.drive()
                    _report(span, driver.live.result)
            finally:
                del self._drivers[driver.live.id]
                slot.end_run()
                self._ended[driver.live.id] = driver.live
                asyncio.get_running_loop().call_later(KEEP_SECONDS, self._forget, driver.live.id, slot)
        if driver.live.result is not None:
            self._metrics.closed(driver.live.result.status)

    def _forget(self, run_id: UUID, slot: RunSlot) -> None:
        del self._ended[run_id]
        slot.free_memory()

    def live(self, run_id: UUID, tenant_id: UUID) -> LiveRun | None:
        """The run, if it is driven here, or was a moment ago, and is this tenant's."""
        driver = self._drivers.get(run_id)
        live = driver.live if driver is not None else self._ended.get(run_id)
        return live if live is not None and live.tenant_id == tenant_id else None

    async def cancel(self, run_id: UUID) -> None:
        """Stop a run, here or wherever it is driven. The caller has noted it in the database."""
        if driver := self._drivers.get(run_id):
            driver.stop(CANCELLED)
        else:
            await self._notices.send(f"cancel {run_id}")

    async def _announce(self, run_id: UUID) -> None:
        await self._notices.send(f"progress {run_id}")

    def _receive(self, text: str) -> None:
        """Every role of the database can send notices, so they are hints: where to look, never what to do."""
        verb, _, rest = text.partition(" ")
        try:
            run_id = UUID(rest)
        except ValueError:
            return
        driver = self._drivers.get(run_id)
        if verb == "progress":
            self.remote.notify(run_id)
        elif verb == "cancel" and driver is not None and run_id not in self._cancelling:
            self._cancelling[run_id] = asyncio.create_task(self._stop_if_requested(driver))
        elif verb == "follow" and driver is not None:
            driver.followed = True

    async def _stop_if_requested(self, driver: Driver) -> None:
        """One look at a time for each run, however many notices come. The next extension of leases looks again."""
        try:
            async with self._context.database.transaction(driver.live.tenant_id) as transaction:
                requested = await Journal(transaction).cancel_requested(driver.live.id)
            if requested:
                driver.stop(CANCELLED)
        except Exception as error:
            log.warning("cancellation not read", error=type(error).__name__, exc_info=not faults.is_unavailable(error))
        finally:
            del self._cancelling[driver.live.id]

    async def _drain(self) -> None:
        if self._tasks:
            log.info("draining", runs=len(self._tasks))
            await asyncio.wait(self._tasks, timeout=max(self.timing.drain_seconds, self._left()))
        for driver in list(self._drivers.values()):
            driver.stop(DRAINED)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.timing.leases.lease_seconds)


def _span(request: RunRequest) -> AbstractContextManager[Span]:
    """The run in the caller's trace; the runtime continues it."""
    return telemetry.span(f"invoke_agent {request.agent}", attributes.invoke_agent(request), kind=SpanKind.CLIENT)


def _report(span: Span, run: RunSummary | None) -> None:
    """How the run ended, in its trace and in the log; nothing when another replica closed it."""
    if run is None:
        return
    code = run.error.code if run.error else None
    if code:
        telemetry.failed(span, code)
    log.info("run ended", agent=run.agent, status=run.status, code=code)
