"""Prometheus metrics of the agent server, in a registry of its own; `main` makes it, `/metrics` shows it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


class RuntimeMetrics:
    """What the agent server counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.runs = Counter("agentic_runtime_runs", "Runs by outcome.", ["outcome"], registry=self.registry)
        self.in_flight = Gauge("agentic_runtime_runs_in_flight", "Runs in progress.", registry=self.registry)
        self.duration = Histogram(
            "agentic_runtime_run_duration_seconds", "How long runs took.", buckets=BUCKETS, registry=self.registry
        )
        self.tool_calls = Counter(
            "agentic_runtime_tool_calls", "Tool calls by tool and outcome.", ["tool", "outcome"], registry=self.registry
        )
