"""The gateway as an ASGI application: what each path does. `main` builds it from the settings, tests from parts.

It is plain ASGI: the few paths need no framework, and every request of every agent goes through here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from time import time
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind

from agentic_core import attributes, telemetry
from agentic_core.attributes import gen_ai, http, url
from agentic_core.errors import NotFound, PlatformError
from agentic_gateway.call.attempts import Failure
from agentic_gateway.call.upstream import Answer, Call, Upstream
from agentic_gateway.exchange import CallerGone, Exchange, Receive, Send
from agentic_gateway.identify.verifier import Verifier
from agentic_gateway.metrics import Metrics, family
from agentic_gateway.problems import AnswerTimedOut, UsageBacklog
from agentic_gateway.relay import relay
from agentic_gateway.relay.relay import Relay
from agentic_gateway.reserve import tokens
from agentic_gateway.reserve.allowances import Allowances
from agentic_gateway.route import listing, routing
from agentic_gateway.route.routing import Backend, Catalog
from agentic_gateway.settle.meter import Meter
from agentic_gateway.wires.anthropic import Messages
from agentic_gateway.wires.base import Operation, Tokens, expect
from agentic_gateway.wires.openai import ChatCompletions, Embeddings

LOG = telemetry.logger(__name__)
CLIENT_GONE: Final = 499
"""In metrics: the caller closed the connection before the answer was complete."""
CHAT: Final = ChatCompletions()
OPERATIONS: Final[dict[str, Operation]] = {operation.path: operation for operation in (CHAT, Embeddings(), Messages())}


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    body_bytes: int
    receive_seconds: float
    request_seconds: float


@dataclass(frozen=True)
class Context:
    """All that the application works with."""

    verifier: Verifier
    catalog: Catalog
    upstream: Upstream
    relay: Relay
    meter: Meter
    allowances: Allowances
    metrics: Metrics
    limits: Limits
    problems: Callable[[], Awaitable[str | None]]
    """Why the gateway is not ready, None when it is."""


Lifespan = Callable[[], AbstractAsyncContextManager[Context]]


class Gateway:
    """The ASGI application."""

    def __init__(self, lifespan: Lifespan) -> None:
        self._lifespan = lifespan
        self._running: Context | None = None
        self._paths: dict[tuple[str, str], Callable[[Exchange], Awaitable[None]]] = {
            ("GET", "/v1/models"): self._models,
            ("GET", "/healthz"): self._health,
            ("GET", "/readyz"): self._ready,
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        exchange = Exchange(scope, receive, send)
        operation = OPERATIONS.get(scope["path"]) if scope["method"] == "POST" else None
        if operation:
            await self._answer(operation, exchange)
            return
        handler = self._paths.get((scope["method"], scope["path"]))
        try:
            if handler is None:
                raise NotFound(f"There is no {scope['method']} {scope['path']} here.")
            await handler(exchange)
        except PlatformError as problem:
            await exchange.reply_json(problem.status, CHAT.error(problem), problem.headers)

    @property
    def _context(self) -> Context:
        if self._running is None:
            raise RuntimeError("the application was called before its lifespan began")
        return self._running

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol: what is open while the application serves."""
        await receive()
        try:
            async with self._lifespan() as self._running:
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            LOG.exception("the gateway cannot start or stop")
            kind = "startup" if self._running is None else "shutdown"
            await send({"type": f"lifespan.{kind}.failed", "message": repr(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    async def _models(self, exchange: Exchange) -> None:
        claims = self._context.verifier.credential(exchange.headers, time()).claims
        refs = [backend.ref for backend in routing.offered(claims, self._context.catalog)]
        page = listing.anthropic(refs) if b"anthropic-version" in exchange.headers else listing.openai(refs)
        await exchange.reply_json(200, page)

    async def _health(self, exchange: Exchange) -> None:
        await exchange.reply_json(200, {"status": "ok"})

    async def _ready(self, exchange: Exchange) -> None:
        reason = await self._context.problems()
        status = 503 if reason else 200
        await exchange.reply_json(status, {"status": "not ready", "reason": reason} if reason else {"status": "ok"})

    async def _answer(self, operation: Operation, exchange: Exchange) -> None:
        """Answer one call of a model, whatever happens."""
        with _served(exchange) as span:
            status = await self._measured(operation, exchange)
            span.set_attribute(http.HTTP_RESPONSE_STATUS_CODE, status)
            if status >= 500:
                telemetry.failed(span, str(status))

    async def _measured(self, operation: Operation, exchange: Exchange) -> int:
        """Answer and count it; returns the status."""
        loop = asyncio.get_running_loop()
        metrics = self._context.metrics
        labels = Labels(operation.name)
        started = loop.time()
        answer: Answer | None = None
        metrics.in_flight.inc()
        try:
            answer = await self._call(operation, exchange, labels)
            status = exchange.status
        except CallerGone:
            status = CLIENT_GONE
        except PlatformError as problem:
            status = await _tell(operation, exchange, problem)
        except TimeoutError:
            status = await _tell(operation, exchange, AnswerTimedOut("The time for the request is over."))
        except Exception:
            LOG.exception("a request failed for a reason of our own")
            status = await _tell(operation, exchange, PlatformError("The gateway failed; its log tells why."))
        finally:
            metrics.in_flight.dec()
        metrics.requests.labels(operation.name, labels.provider, labels.model, status).inc()
        metrics.seconds.labels(operation.name, labels.provider, labels.model).observe(loop.time() - started)
        if answer:
            await relay.finish(answer)
        return status

    async def _call(self, operation: Operation, exchange: Exchange, labels: "Labels") -> Answer:
        context = self._context
        loop = asyncio.get_running_loop()
        started = loop.time()
        credential = context.verifier.credential(exchange.headers, time())
        claims = credential.claims
        telemetry.annotate_logs(tenant=claims.tenant, run=claims.run_id)
        limits = context.limits
        if context.meter.full:
            raise UsageBacklog("Usage cannot be recorded at the moment; try again in a while.")
        request = await exchange.json(most=limits.body_bytes, seconds=limits.receive_seconds)
        expect(request, "model", str)
        operation.check(request, exchange.headers)
        backends = routing.backends(request["model"], claims, operation, context.catalog)
        labels.tell(backends[0])
        allowance = await context.allowances.current(credential)
        prompt = tokens.prompt(request)
        most = allowance.grant(prompt, operation.most_output(request, backends[0].provider.type))
        call = Call(claims, operation, request, exchange.headers, started + limits.request_seconds, prompt, most)
        with allowance.spending(prompt + most):
            async with exchange.while_connected(), asyncio.timeout_at(call.deadline):
                return await self._pass(call, backends, exchange.send, labels, started=started)

    async def _pass(
        self, call: Call, backends: Sequence[Backend], send: Send, labels: "Labels", *, started: float
    ) -> Answer:
        """Have a backend answer and pass its answer on."""
        context = self._context
        with _span(call, backends[0]) as span:
            answer = await context.upstream.answer(call, backends, lambda *failed: self._note(call, *failed))
            labels.tell(answer.backend)
            seconds = asyncio.get_running_loop().time() - started
            context.metrics.first_byte.labels(call.operation.name, labels.provider, labels.model).observe(seconds)
            used = await context.relay.pass_on(call, answer, send)
            _describe(span, answer.backend, used)
        return answer

    def _note(self, call: Call, backend: Backend, failure: Failure) -> None:
        """Count and log an attempt that failed, and charge it if it cost."""
        labels = backend.provider.type, family(backend.model.name), failure.cause
        self._context.metrics.failures.labels(*labels).inc()
        if failure.spent:
            self._context.relay.charge_failure(call, backend, failure)
        LOG.warning(
            "a provider gave no answer",
            provider=f"{backend.namespace}/{backend.provider_name}",
            model=backend.model.name,
            cause=failure.cause,
            detail=failure.detail,
        )


@dataclass
class Labels:
    """What a request is counted under: unknown until its model is."""

    operation: str
    provider: str = "unknown"
    model: str = "unknown"

    def tell(self, backend: Backend) -> None:
        """Count it under this backend."""
        self.provider, self.model = backend.provider.type, family(backend.model.name)


async def _tell(operation: Operation, exchange: Exchange, problem: PlatformError) -> int:
    """Tell the caller, as an answer of its own or inside the stream that has begun; returns the status."""
    if exchange.status:
        await exchange.send({"type": "http.response.body", "body": operation.error_event(problem)})
    else:
        await exchange.reply_json(problem.status, operation.error(problem), problem.headers)
    return problem.status


def _served(exchange: Exchange) -> AbstractContextManager[Span]:
    """The span of the request, below the one that the runtime sent."""
    parent = exchange.headers.get(b"traceparent")
    return telemetry.span(
        f"POST {exchange.path}",
        {http.HTTP_REQUEST_METHOD: "POST", http.HTTP_ROUTE: exchange.path, url.URL_PATH: exchange.path},
        kind=SpanKind.SERVER,
        parent=telemetry.extract({"traceparent": parent.decode("latin-1")}) if parent else None,
    )


def _span(call: Call, backend: Backend) -> AbstractContextManager[Span]:
    """The span of the call to the provider."""
    return telemetry.span(
        f"{call.operation.name} {backend.model.name}",
        {
            gen_ai.GEN_AI_OPERATION_NAME: call.operation.name,
            gen_ai.GEN_AI_PROVIDER_NAME: backend.provider.type.telemetry_name,
            gen_ai.GEN_AI_REQUEST_MODEL: backend.model.name,
            attributes.RUN: call.claims.run_id,
            attributes.TENANT: call.claims.tenant,
            attributes.PROVIDER: backend.provider_name,
        },
        kind=SpanKind.CLIENT,
    )


def _describe(span: Span, backend: Backend, used: Tokens | None) -> None:
    span.set_attribute(gen_ai.GEN_AI_RESPONSE_MODEL, backend.model.name)
    if used:
        span.set_attribute(gen_ai.GEN_AI_USAGE_INPUT_TOKENS, used.input)
        span.set_attribute(gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS, used.output)
