"""Prometheus metrics of runs; the replica counts."""

from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge


class RunMetrics:
    """How many runs go on and how they ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter("agentic_runs", "Runs that have ended, by status.", ["status"], registry=registry)
        self._running = Gauge("agentic_runs_running", "Runs that this replica drives.", registry=registry)

    def running(self) -> AbstractContextManager[None]:
        """Count a run as going on inside the block."""
        return self._running.track_inprogress()

    def closed(self, status: str) -> None:
        """Count a run that has ended."""
        self._ended.labels(status).inc()
