"""Everything together: watches feed the index, changes become keys, workers reconcile them. `main` runs it.

It starts when this process leads and stops with it; reconciles in flight are finished.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from agentic_core import names, telemetry
from agentic_core.backoff import Backoff
from agentic_core.cluster import Cluster, Recorder, Reflector, errors
from agentic_core.cluster.kinds import LOCAL, holds_metadata_only
from agentic_core.tasks import cancel, first_of
from agentic_operator.engine import ownership
from agentic_operator.engine.children import Children
from agentic_operator.engine.controller import AnyController, Controllers, ReconcileContext, WatchedKind
from agentic_operator.engine.discovery import OptionalApis
from agentic_operator.engine.dispatch import Dispatcher, Isolation, KindSink, Tenants
from agentic_operator.engine.index import Index
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.metrics import OperatorMetrics
from agentic_operator.engine.queue import Queue, QueueClosed
from agentic_operator.engine.reconcile import ReconcileOutcome, Reconciler, ReconcileResult
from agentic_operator.engine.shared import SharedObjects
from agentic_operator.engine.writes import Writes

WORKERS = 16
PER_TENANT = 8
"""How many workers one tenant may hold at once."""
GRACE_SECONDS = 20.0
"""How long reconciles in flight may take to finish when the process ends."""
DISCOVERY_SECONDS = 300.0
"""Seconds between two checks which optional APIs the cluster serves."""
BACKOFF = Backoff(first=1.0, longest=30.0)

log = telemetry.logger(__name__)


class Engine:
    """All controllers over one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        controllers: Sequence[AnyController],
        metrics: OperatorMetrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        discovery_seconds: float = DISCOVERY_SECONDS,
    ) -> None:
        """Raises ValueError for controllers that cannot run side by side."""
        self._controllers = Controllers(controllers)
        self._metrics = metrics
        self._discovery_seconds = discovery_seconds
        self._tenants = Tenants()
        lookups = dict.fromkeys(lookup for controller in controllers for lookup in controller.lookups)
        watched = watched_kinds(controllers)
        metadata_only = [one.kind for one in watched if one.metadata_only]
        amounts = [amount for controller in controllers for amount in controller.amounts]
        self.index = Index(self._controllers.owners, lookups, metadata_only=metadata_only, amounts=amounts)
        self.queue = Queue(self._tenants.of, per_tenant=PER_TENANT)
        self._isolation = Isolation(metrics.rejected)
        self._dispatcher = Dispatcher(
            self.index,
            self.queue,
            tenants=self._tenants,
            controllers=self._controllers,
            isolation=self._isolation,
        )
        self._writes = Writes(self.index, self._dispatcher.dispatch)
        recorder = Recorder(cluster, names.OPERATOR)
        shared = SharedObjects(cluster, self.index, writes=self._writes, controllers=self._controllers)
        children = Children({LOCAL: cluster}, self.index, writes=self._writes, recorder=recorder, shared=shared)
        self._dispatcher.on_deleted = children.deleted
        self._apis = OptionalApis(cluster, {api for controller in controllers for api in controller.optional_apis})
        self._reconciler = Reconciler(
            ReconcileContext(self.index, cluster, self._apis),
            children=children,
            shared=shared,
            writes=self._writes,
            controllers=self._controllers,
            clock=clock,
        )
        self._reflectors = [self._reflector(cluster, one) for one in watched]
        self.synced = asyncio.Event()
        metrics.queue_depth.set_function(lambda: len(self.queue))

    async def run(self, stop: asyncio.Event) -> None:
        """Converge everything until `stop` is set."""
        watching = [asyncio.create_task(reflector.run()) for reflector in self._reflectors]
        working: list[asyncio.Task[None]] = []
        stopped = asyncio.create_task(_wait(stop))
        syncing = asyncio.create_task(self._sync())
        discovering = asyncio.create_task(self._discover())
        try:
            await first_of([*watching, syncing, stopped])
            if not stop.is_set():
                working = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
                await first_of([*watching, *working, discovering, stopped])
        finally:
            stop.set()
            self.queue.close()
            if working:
                await asyncio.wait(working, timeout=GRACE_SECONDS)
            await cancel([*watching, *working, syncing, discovering, stopped])
            for controller in self._controllers.all:
                await controller.close()

    async def _sync(self) -> None:
        """Fill the index before the first reconcile: with half of the objects it would delete and rewrite."""
        for reflector in self._reflectors:
            await reflector.synced.wait()
        await self._check_apis()
        self._dispatcher.start()
        self.synced.set()

    async def _discover(self) -> None:
        """Queue what depends on an optional API when one comes or goes."""
        await self.synced.wait()
        while True:
            await asyncio.sleep(self._discovery_seconds)
            changed = await self._check_apis()
            for controller in self._controllers.all:
                if changed.intersection(controller.optional_apis):
                    self._dispatcher.queue_all(controller)

    async def _check_apis(self) -> set[str]:
        failures = 0
        while True:
            try:
                return await self._apis.check()
            except errors.ClusterError as failure:
                failures += 1
                log.warning("discovery failed", error=failure.message, failures=failures)
                await asyncio.sleep(BACKOFF.pause(failures))

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.take()
            except QueueClosed:
                return
            try:
                await self._measured(key)
            finally:
                self.queue.done(key)

    async def _measured(self, key: ReconcileKey) -> None:
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
            log.warning("reconcile failed", **self._fields(key), error=failure.message, retry_in=round(pause, 1))
        except Exception:
            pause = self.queue.failed(key)
            log.exception("reconcile crashed", **self._fields(key), retry_in=round(pause, 1))
        finally:
            seconds = time.perf_counter() - started
            self._metrics.reconciled(key, outcome, seconds=seconds)

    def _settle(self, key: ReconcileKey, result: ReconcileResult) -> None:
        if result.outcome is ReconcileOutcome.REFUSED:
            pause = self.queue.failed(key)
            log.warning("reconcile refused", **self._fields(key), retry_in=round(pause, 1))
            return
        self.queue.succeeded(key)
        if result.requeue_after is not None:
            self.queue.add_later(key, result.requeue_after)

    def _fields(self, key: ReconcileKey) -> dict[str, Any]:
        entry = self.index.entry(key.ref)
        return {
            "controller": key.controller,
            "kind": key.ref.kind.name,
            "namespace": key.ref.namespace or "",
            "name": key.ref.name,
            "generation": entry.generation if entry else 0,
            "tenant": self._tenants.of(key),
        }

    def _reflector(self, cluster: Cluster, watched: WatchedKind) -> Reflector:
        return Reflector(
            cluster=cluster,
            kind=watched.kind,
            sink=KindSink(watched.kind, self.index, self._writes.changed, isolation=self._isolation),
            labels=watched.labels,
            metadata_only=watched.metadata_only,
            on_restart=self._metrics.restarted,
        )


def watched_kinds(controllers: Iterable[AnyController]) -> list[WatchedKind]:
    """One watch for each kind: of all objects of primary kinds, of children by label, even where they are a primary
    kind too, such as namespaces; unless a controller declares another watch."""
    controllers = list(controllers)
    found = {controller.kind: WatchedKind(controller.kind) for controller in controllers}
    for kind in (kind for controller in controllers for kind in controller.children):
        found[kind] = WatchedKind(kind, ownership.SELECTOR, metadata_only=holds_metadata_only(kind))
    found |= {watched.kind: watched for controller in controllers for watched in controller.watches}
    return list(found.values())


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
