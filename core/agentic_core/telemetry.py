"""Logs, traces and metrics of every program; each composition root calls `configure` once.

Logs are JSON lines on standard error with the trace, tenant and run of the moment. Traces follow OpenTelemetry's GenAI
conventions and are exported when an endpoint is set. None of them contains the text of a prompt or a response.
"""

import atexit
import logging
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import orjson
import structlog
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from structlog.typing import EventDict, Processor, WrappedLogger

from agentic_core import attributes
from agentic_core.settings import Settings

FLUSH_SECONDS = 3.0
"""How long the end of a process waits for a collector to take the last spans."""


def configure(service: str, settings: Settings) -> None:
    """Set up logs and traces of this process. Call it once, first."""
    _configure_logs(settings.log_level)
    _configure_traces(service, settings.otlp_endpoint)


def _configure_logs(level: str) -> None:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_trace,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str).decode()


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
        event["span_id"] = f"{span.span_id:016x}"
    return event


def _configure_traces(service: str, endpoint: str | None) -> None:
    # Without an endpoint spans only carry ids for logs, responses and the next program; nothing is recorded.
    sampler = None if endpoint else ALWAYS_OFF
    provider = TracerProvider(sampler, Resource.create({"service.name": service}), shutdown_on_exit=False)
    if endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - costs 40 ms
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - only with an endpoint

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
        # While a collector is unavailable, one record for each lost batch is enough; the exporter logs each attempt.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
        atexit.register(_send_rest, provider)
    trace.set_tracer_provider(provider)


def _send_rest(provider: TracerProvider) -> None:
    """Send the last spans. The provider's own exit handler waits half a minute for a collector that is unavailable."""
    sending = threading.Thread(target=provider.shutdown, daemon=True)
    sending.start()
    sending.join(FLUSH_SECONDS)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module."""
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return log


@contextmanager
def log_context(**values: str) -> Generator[None]:
    """Adds fields such as tenant and run to every log record inside the block."""
    with structlog.contextvars.bound_contextvars(**values):
        yield


def annotate_logs(**values: str) -> None:
    """The same for the rest of this task, where no block has it all: a server's task of one request."""
    structlog.contextvars.bind_contextvars(**values)


@contextmanager
def span(
    name: str,
    described: Mapping[str, str | int] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: context.Context | None = None,
) -> Generator[trace.Span]:
    """A span around the block, described by attributes that are named as in `agentic_core.attributes`.

    Of an error only the type is kept: its message may quote a prompt or a response.
    """
    tracer = trace.get_tracer("agentic")
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, attributes=described, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            failed(current, type(error).__name__)
            raise


def failed(span: trace.Span, kind: str) -> None:
    """Marks what a span stands for as failed; the kind is an error's type or code, never its message."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute(attributes.error.ERROR_TYPE, kind)


def inject(headers: dict[str, str]) -> dict[str, str]:
    """The headers with the current trace (`traceparent`) added."""
    propagate.inject(headers)
    return headers


def extract(headers: dict[str, str]) -> context.Context:
    """The trace that a request's headers carry."""
    return propagate.extract(headers)


def trace_id() -> str:
    """The current trace as 32 hex digits, empty outside of a trace."""
    current = trace.get_current_span().get_span_context()
    return f"{current.trace_id:032x}" if current.is_valid else ""
