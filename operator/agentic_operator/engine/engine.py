"""Everything together: watches feed the index, changes become keys, workers reconcile them. `main` runs it.

It starts when this process leads and stops with it; reconciles in flight are finished.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from agentic_core import names, telemetry
from agentic_core.cluster import Cluster, Credentials, Recorder, Reflector, errors
from agentic_core.cluster.kinds import Kind, Ref
from agentic_operator.engine import intake, ownership
from agentic_operator.engine.children import Children
from agentic_operator.engine.controller import Controller, Watch
from agentic_operator.engine.dispatch import Dispatcher, Isolation, KindSink, Tenants
from agentic_operator.engine.index import Index
from agentic_operator.engine.metrics import Metrics
from agentic_operator.engine.queue import Closed, Queue
from agentic_operator.engine.reconcile import Outcome, Reconciler, Result

WORKERS = 16
SHARE = 8
"""How many workers one tenant may hold at once."""
GRACE_SECONDS = 20.0
"""How long reconciles in flight may take to finish when the process ends."""

log = telemetry.logger(__name__)


class Engine:
    """All controllers over one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        credentials: Credentials,
        *,
        controllers: Sequence[Controller[Any, Any]],
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        by_kind = {controller.kind: controller for controller in controllers}
        self._controllers = controllers
        self._metrics = metrics
        self._tenants = Tenants()
        self.index = Index(
            by_kind, dict.fromkeys(lookup for controller in controllers for lookup in controller.lookups)
        )
        self.queue = Queue(self._tenants.of, share=SHARE)
        children = Children(cluster, self.index, Recorder(cluster, names.OPERATOR))
        self._isolation = Isolation(metrics.rejected)
        self._dispatcher = Dispatcher(
            self.index,
            self.queue,
            tenants=self._tenants,
            controllers=by_kind,
            children=children,
            isolation=self._isolation,
        )
        self._reconciler = Reconciler(cluster, self.index, children=children, controllers=by_kind, clock=clock)
        self._reflectors = [self._reflector(cluster, watch) for watch in watches(controllers)]
        primary = by_kind.keys() - {reflector.kind for reflector in self._reflectors}
        self._intake = intake.Intake(
            cluster, credentials, {kind: self._sink(kind) for kind in primary}, on_restart=metrics.restarted
        )
        self.synced = asyncio.Event()
        metrics.queue_depth.set_function(lambda: len(self.queue))

    async def run(self, stop: asyncio.Event) -> None:
        """Converge everything until `stop` is set."""
        watching = [asyncio.create_task(reflector.run()) for reflector in self._reflectors]
        finishing: list[asyncio.Task[None]] = []
        stopped = asyncio.create_task(_wait(stop))
        looking = asyncio.create_task(self._first_look())
        try:
            await first_of([*watching, looking, stopped])
            if stop.is_set():
                return
            finishing = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
            finishing.append(asyncio.create_task(self._intake.run(stop)))
            await first_of([*watching, *finishing, stopped])
        finally:
            stop.set()
            self.queue.close()
            if finishing:
                await asyncio.wait(finishing, timeout=GRACE_SECONDS)
            await cancel([*watching, *finishing, looking, stopped])
            for controller in self._controllers:
                await controller.close()

    async def _first_look(self) -> None:
        """Fill the index before the first reconcile: half a picture would make it delete and rewrite."""
        for reflector in self._reflectors:
            await reflector.synced.wait()
        await self._intake.prime()
        self._dispatcher.start()
        self.synced.set()

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.take()
            except Closed:
                return
            try:
                await self._measured(key)
            finally:
                self.queue.done(key)

    async def _measured(self, key: Ref) -> None:
        started = time.perf_counter()
        outcome = "error"
        try:
            result = await self._reconciler.reconcile(key)
            outcome = result.outcome.value
            self._settle(key, result)
        except errors.Fenced:
            raise
        except errors.ClusterError as failure:
            pause = self.queue.failed(key)
            log.warning("failed", **self._fields(key), error=failure.message, retry_in=round(pause, 1))
        except Exception:
            pause = self.queue.failed(key)
            log.exception("crashed", **self._fields(key), retry_in=round(pause, 1))
        finally:
            seconds = time.perf_counter() - started
            self._metrics.reconcile_seconds.labels(key.kind.name, outcome).observe(seconds)

    def _settle(self, key: Ref, result: Result) -> None:
        if result.outcome is Outcome.REFUSED:
            pause = self.queue.failed(key)
            log.warning("refused", **self._fields(key), retry_in=round(pause, 1))
            return
        self.queue.succeeded(key)
        if result.requeue_after is not None:
            self.queue.add_later(key, result.requeue_after)

    def _fields(self, key: Ref) -> dict[str, Any]:
        entry = self.index.entry(key)
        return {
            "kind": key.kind.name,
            "namespace": key.namespace or "",
            "name": key.name,
            "generation": entry.generation if entry else 0,
            "tenant": self._tenants.of(key),
        }

    def _reflector(self, cluster: Cluster, watch: Watch) -> Reflector:
        return Reflector(
            cluster=cluster,
            kind=watch.kind,
            sink=self._sink(watch.kind),
            labels=watch.labels,
            metadata_only=watch.metadata_only,
            on_restart=self._metrics.restarted,
        )

    def _sink(self, kind: Kind) -> KindSink:
        return KindSink(kind, self.index, self._dispatcher.changed, isolation=self._isolation)


def watches(controllers: Iterable[Controller[Any, Any]]) -> list[Watch]:
    """One reflector for each kind: children by label, unless a controller asks for more of that kind."""
    controllers = list(controllers)
    found = {kind: Watch(kind, ownership.SELECTOR) for controller in controllers for kind in controller.children}
    found |= {controller.kind: Watch(controller.kind) for controller in controllers if controller.numerous}
    found |= {watch.kind: watch for controller in controllers for watch in controller.watches}
    return list(found.values())


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def first_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until one of the tasks ends, and raise its error."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel the tasks and wait until they are over."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
