"""Rate, errors and duration of requests per route template; the outermost layer records them, `/metrics` shows them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


class HttpMetrics:
    """Metrics of the HTTP server. Labels are kept because finding them costs more than counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            "agentic_http_request_duration_seconds",
            "Time from a request's first byte to its response's last one.",
            ("method", "route", "status"),
            registry=registry,
            buckets=BUCKETS,
        )
        self._in_flight = Gauge("agentic_http_requests_in_flight", "Requests in progress.", registry=registry)
        self._denied = Counter(
            "agentic_http_denied_total", "Requests refused before an endpoint ran.", ("code",), registry=registry
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def started(self) -> None:
        """A request has begun."""
        self._in_flight.inc()

    def ended(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """The response to a request has been sent."""
        self._in_flight.dec()
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._duration.labels(method, route, str(status))
        child.observe(seconds)

    def denied(self, code: str) -> None:
        """A request was refused."""
        self._denied.labels(code).inc()
