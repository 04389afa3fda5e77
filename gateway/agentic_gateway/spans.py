"""The spans of a request: the gateway's own, and that of the call to the provider; `app` and `flow` open them."""

from contextlib import AbstractContextManager

from opentelemetry.trace import Span, SpanKind

from agentic_core import attributes, telemetry
from agentic_core.attributes import gen_ai, http, url
from agentic_core.auth.run_tokens import RunClaims
from agentic_gateway.call.upstream import ModelCall
from agentic_gateway.exchange import HttpExchange
from agentic_gateway.route.routing import Backend
from agentic_gateway.wires.base import Tokens


def of_request(exchange: HttpExchange) -> AbstractContextManager[Span]:
    """The span of the request, below the one that the runtime sent."""
    parent = exchange.headers.get(b"traceparent")
    return telemetry.span(
        f"POST {exchange.path}",
        {http.HTTP_REQUEST_METHOD: "POST", http.HTTP_ROUTE: exchange.path, url.URL_PATH: exchange.path},
        kind=SpanKind.SERVER,
        parent=telemetry.extract({"traceparent": parent.decode("latin-1")}) if parent else None,
    )


def responded(span: Span, status: int) -> None:
    """The request was responded to with this status."""
    span.set_attribute(http.HTTP_RESPONSE_STATUS_CODE, status)
    if status >= 500:
        telemetry.failed(span, str(status))


def of_provider(call: ModelCall, claims: RunClaims, backend: Backend) -> AbstractContextManager[Span]:
    """The span of the call to the provider."""
    return telemetry.span(
        f"{call.operation.name} {backend.model.name}",
        {
            gen_ai.GEN_AI_OPERATION_NAME: call.operation.name,
            gen_ai.GEN_AI_PROVIDER_NAME: backend.provider.type.telemetry_name,
            gen_ai.GEN_AI_REQUEST_MODEL: backend.model.name,
            attributes.RUN: claims.run_id,
            attributes.TENANT: claims.tenant,
            attributes.PROVIDER: backend.provider_name,
        },
        kind=SpanKind.CLIENT,
    )


def relayed(span: Span, backend: Backend, used: Tokens | None) -> None:
    """The response of this backend was relayed."""
    span.set_attribute(gen_ai.GEN_AI_RESPONSE_MODEL, backend.model.name)
    if used:
        span.set_attribute(gen_ai.GEN_AI_USAGE_INPUT_TOKENS, used.input)
        span.set_attribute(gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS, used.output)
