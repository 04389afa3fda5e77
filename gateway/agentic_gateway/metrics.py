"""The gateway's Prometheus metrics; the flow and the usage queue record them.

No label grows with tenants, or with what a caller or a provider chooses: models are counted by family, providers by
type, statuses that the gateway does not use itself by class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentic_gateway.route.routing import Backend

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
STATUSES: Final = frozenset({200, 400, 401, 402, 403, 404, 408, 413, 422, 429, 499, 500, 502, 503, 504})
"""Statuses counted each by itself."""
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


def family(model: str) -> str:
    """The family in a model's name, `other` when there is none."""
    name = model.lower().rpartition("/")[2]
    return next((one for one in FAMILIES if name.startswith(one)), "other")


def status_label(status: int) -> str:
    """What a status is counted under: a response that is passed on may have any."""
    return str(status) if status in STATUSES else f"{status // 100}xx" if 100 <= status < 600 else "other"


@dataclass
class CallLabels:
    """What a request is counted under: unknown until its model is."""

    operation: str
    provider: str = "unknown"
    model: str = "unknown"

    @property
    def values(self) -> tuple[str, str, str]:
        """The labels in their order."""
        return self.operation, self.provider, self.model

    def show(self, backend: Backend) -> None:
        """Count it under this backend."""
        self.provider, self.model = backend.provider.type, family(backend.model.name)


class GatewayMetrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("operation", "provider", "model")
        self.requests = Counter(
            "agentic_gateway_requests", "Requests by status.", (*labels, "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "agentic_gateway_request_seconds",
            "Time to the end of a response.",
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
            "Attempts that gave no response.",
            ("provider", "model", "cause"),
            registry=self.registry,
        )
        self.tokens = Counter(
            "agentic_gateway_tokens", "Tokens charged.", ("provider", "model", "direction"), registry=self.registry
        )
        self.in_flight = Gauge("agentic_gateway_in_flight", "Requests in progress.", registry=self.registry)
        self.circuits = Gauge(
            "agentic_gateway_circuits", "Providers whose circuit is not closed.", ("state",), registry=self.registry
        )
        self.held = Gauge(
            "agentic_gateway_held_bytes", "Bytes that calls in progress hold.", ("kind",), registry=self.registry
        )
        self._add_usage()

    def show_circuits(self, states: Callable[[], Mapping[str, int]]) -> None:
        """Show, whenever metrics are read, how many circuits are in each state."""
        for state in states():
            self.circuits.labels(state).set_function(partial(_number, states, state))

    def show_held(self, held: Callable[[], Mapping[str, int]]) -> None:
        """Show, whenever metrics are read, what requests and responses hold."""
        for kind in held():
            self.held.labels(kind).set_function(partial(_number, held, kind))

    def _add_usage(self) -> None:
        self.usage_pending = Gauge(
            "agentic_gateway_usage_pending", "Usage rows not committed yet.", registry=self.registry
        )
        self.usage_lag = Histogram(
            "agentic_gateway_usage_lag_seconds",
            "Time from a response to its committed usage.",
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
        self.usage_dead_letters = Counter(
            "agentic_gateway_usage_dead_letters",
            "Rows that the usage table rejects, stored among the dead letters or in the log.",
            registry=self.registry,
        )


def _number(states: Callable[[], Mapping[str, int]], state: str) -> int:
    return states()[state]
