"""The gateway's Prometheus metrics. No label grows with tenants: models are counted by family, providers by type."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FAMILIES: Final = (
    "claude-opus",
    "claude-sonnet",
    "claude-haiku",
    "claude",
    "gpt-5",
    "gpt-4",
    "gpt-3",
    "gpt",
    "o1",
    "o3",
    "o4",
    "text-embedding",
    "gemini",
    "gemma",
    "llama",
    "mistral",
    "mixtral",
    "qwen",
    "deepseek",
    "phi",
    "command",
    "grok",
    "smollm",
    "echo",
)
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


def family(model: str) -> str:
    """The family that a model's name tells, `other` when it tells none."""
    name = model.lower().rpartition("/")[2]
    return next((known for known in FAMILIES if name.startswith(known)), "other")


class Metrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("operation", "provider", "model")
        self.requests = Counter(
            "agentic_gateway_requests", "Requests by end.", (*labels, "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "agentic_gateway_request_seconds",
            "Time to the end of an answer.",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.first_byte = Histogram(
            "agentic_gateway_first_byte_seconds",
            "Time to the provider's first byte.",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.failures = Counter(
            "agentic_gateway_upstream_failures",
            "Attempts that gave no answer.",
            ("provider", "model", "cause"),
            registry=self.registry,
        )
        self.tokens = Counter(
            "agentic_gateway_tokens", "Tokens charged.", ("provider", "model", "direction"), registry=self.registry
        )
        self.in_flight = Gauge("agentic_gateway_in_flight", "Requests being answered.", registry=self.registry)
        self.circuits = Gauge(
            "agentic_gateway_circuits", "Providers that are left alone.", ("state",), registry=self.registry
        )
        self._add_usage()

    def show_circuits(self, states: Callable[[], Mapping[str, int]]) -> None:
        """Show, whenever metrics are read, how many circuits are in each state."""
        for state in states():
            self.circuits.labels(state).set_function(partial(_number, states, state))

    def _add_usage(self) -> None:
        self.usage_pending = Gauge(
            "agentic_gateway_usage_pending", "Usage rows not committed yet.", registry=self.registry
        )
        self.usage_lag = Histogram(
            "agentic_gateway_usage_lag_seconds",
            "Time from an answer to its committed usage.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30),
            registry=self.registry,
        )
        self.usage_batch = Histogram(
            "agentic_gateway_usage_batch_rows",
            "Rows in one transaction.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 500),
            registry=self.registry,
        )
        self.usage_failures = Counter(
            "agentic_gateway_usage_failures", "Transactions of usage that failed.", registry=self.registry
        )
        self.usage_spilled = Counter(
            "agentic_gateway_usage_spilled",
            "Rows that went to the log because they were not committed in time.",
            registry=self.registry,
        )


def _number(states: Callable[[], Mapping[str, int]], state: str) -> int:
    return states()[state]
