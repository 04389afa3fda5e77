"""The operator's Prometheus metrics; one instance per process, made by the composition root and passed down."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from agentic_operator.engine.key import ReconcileKey

WRITES = frozenset({"apply", "apply_status", "create", "replace", "patch", "delete"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class OperatorMetrics:
    """All metrics of the operator."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.queue_depth = Gauge("agentic_operator_queue_depth", "Queued keys", registry=self.registry)
        self.reconcile_seconds = Histogram(
            "agentic_operator_reconcile_seconds",
            "Duration of reconciles",
            ["controller", "kind", "outcome"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.writes = Counter(
            "agentic_operator_writes_total", "Writes to the API server", ["verb", "kind"], registry=self.registry
        )
        self.requests = Counter(
            "agentic_operator_requests_total", "Calls of the API server", ["verb", "code"], registry=self.registry
        )
        self.watch_restarts = Counter(
            "agentic_operator_watch_restarts_total", "Watches opened again", ["kind"], registry=self.registry
        )
        self.objects_rejected = Counter(
            "agentic_operator_objects_rejected_total",
            "Changes of objects that could not be processed",
            ["kind"],
            registry=self.registry,
        )
        self.leader = Gauge("agentic_operator_leader", "1 while this process leads", registry=self.registry)
        self.loop_lag = Gauge(
            "agentic_operator_loop_lag_seconds", "How late the event loop runs its timers", registry=self.registry
        )

    def reconciled(self, key: ReconcileKey, outcome: str, *, seconds: float) -> None:
        """A reconcile ended; the engine calls it."""
        self.reconcile_seconds.labels(key.controller, key.ref.kind.name, outcome).observe(seconds)

    def requested(self, verb: str, kind: str, status: int) -> None:
        """A request ended with this HTTP status, 0 for none; the cluster client calls it."""
        self.requests.labels(verb, str(status)).inc()
        if verb in WRITES and 200 <= status < 300:
            self.writes.labels(verb, kind).inc()

    def restarted(self, kind: str) -> None:
        """A watch broke; the reflectors call it."""
        self.watch_restarts.labels(kind).inc()

    def rejected(self, kind: str) -> None:
        """A change of an object could not be processed; the sinks call it."""
        self.objects_rejected.labels(kind).inc()

    def text(self) -> bytes:
        """The exposition for Prometheus."""
        return generate_latest(self.registry)

    async def measure_lag(self, *, every: float = 1.0) -> None:
        """Keep the gauge of the event loop's lag up to date, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + every
            await asyncio.sleep(every)
            self.loop_lag.set(max(0.0, loop.time() - due))
