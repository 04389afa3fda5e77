"""The gateway as an ASGI application: what each path does. `main` builds it from the settings, tests from parts.

It is plain ASGI: the few paths need no framework, and every request of every agent goes through here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from agentic_core import telemetry
from agentic_core.errors import NotFound, PlatformError
from agentic_gateway import spans
from agentic_gateway.call.upstream import ProviderResponse
from agentic_gateway.exchange import CallerGone, HttpExchange, Receive, Send
from agentic_gateway.flow import CallFlow
from agentic_gateway.metrics import CallLabels, GatewayMetrics, status_label
from agentic_gateway.problems import ResponseTimedOut
from agentic_gateway.relay import relay
from agentic_gateway.route import listing, routing
from agentic_gateway.wires.anthropic import Messages
from agentic_gateway.wires.base import Operation
from agentic_gateway.wires.openai import ChatCompletions, Embeddings

LOG = telemetry.logger(__name__)
CLIENT_GONE: Final = 499
"""In metrics: the caller closed the connection before the response was complete."""
CHAT: Final = ChatCompletions()
OPERATIONS: Final[dict[str, Operation]] = {operation.path: operation for operation in (CHAT, Embeddings(), Messages())}


@dataclass(frozen=True)
class GatewayContext:
    """All that the application works with."""

    flow: CallFlow
    metrics: GatewayMetrics
    problem: Callable[[], Awaitable[str | None]]
    """Why the gateway is not ready, None when it is."""


Lifespan = Callable[[], AbstractAsyncContextManager[GatewayContext]]


class Gateway:
    """The ASGI application."""

    def __init__(self, lifespan: Lifespan) -> None:
        self._lifespan = lifespan
        self._running: GatewayContext | None = None
        self._paths: dict[tuple[str, str], Callable[[HttpExchange], Awaitable[None]]] = {
            ("GET", "/v1/models"): self._models,
            ("GET", "/healthz"): self._health,
            ("GET", "/readyz"): self._ready,
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        exchange = HttpExchange(scope, receive, send)
        operation = OPERATIONS.get(scope["path"]) if scope["method"] == "POST" else None
        if operation:
            await self._model_call(operation, exchange)
            return
        handler = self._paths.get((scope["method"], scope["path"]))
        try:
            if handler is None:
                raise NotFound(f"{scope['method']} {scope['path']} not found.")
            await handler(exchange)
        except PlatformError as problem:
            await exchange.reply_json(problem.status, CHAT.error(problem), problem.headers)

    @property
    def _context(self) -> GatewayContext:
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
            kind = "startup" if self._running is None else "shutdown"
            LOG.exception("lifespan failed", phase=kind)
            await send({"type": f"lifespan.{kind}.failed", "message": repr(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    async def _models(self, exchange: HttpExchange) -> None:
        flow = self._context.flow
        claims = flow.identify(exchange).claims
        refs = [backend.ref for backend in routing.offered(claims, flow.catalog)]
        page = listing.anthropic(refs) if b"anthropic-version" in exchange.headers else listing.openai(refs)
        await exchange.reply_json(200, page)

    async def _health(self, exchange: HttpExchange) -> None:
        await exchange.reply_json(200, {"status": "ok"})

    async def _ready(self, exchange: HttpExchange) -> None:
        reason = await self._context.problem()
        status = 503 if reason else 200
        await exchange.reply_json(status, {"status": "not ready", "reason": reason} if reason else {"status": "ok"})

    async def _model_call(self, operation: Operation, exchange: HttpExchange) -> None:
        """Respond to a call of a model, whatever happens, and count it."""
        loop = asyncio.get_running_loop()
        metrics = self._context.metrics
        labels = CallLabels(operation.name)
        started = loop.time()
        with spans.of_request(exchange) as span, metrics.in_flight.track_inprogress():
            status, response = await self._respond(operation, exchange, labels)
            spans.responded(span, status)
        metrics.requests.labels(*labels.values, status_label(status)).inc()
        metrics.seconds.labels(*labels.values).observe(loop.time() - started)
        if response:
            await relay.drain(response)

    async def _respond(
        self, operation: Operation, exchange: HttpExchange, labels: CallLabels
    ) -> tuple[int, ProviderResponse | None]:
        """The status of the response, and the provider's response when that was relayed."""
        try:
            response = await self._context.flow.run(operation, exchange, labels)
        except CallerGone:
            return CLIENT_GONE, None
        except PlatformError as problem:
            return await _report(operation, exchange, problem), None
        except TimeoutError:
            return await _report(operation, exchange, ResponseTimedOut("The time for the request is over.")), None
        except Exception:
            LOG.exception("request failed")
            return await _report(
                operation, exchange, PlatformError("The gateway failed; its log has the reason.")
            ), None
        return exchange.status, response


async def _report(operation: Operation, exchange: HttpExchange, problem: PlatformError) -> int:
    """Send a problem, as a response of its own or inside the stream that has begun; returns its status."""
    if exchange.status:
        await exchange.send({"type": "http.response.body", "body": operation.error_event(problem)})
    else:
        await exchange.reply_json(problem.status, operation.error(problem), problem.headers)
    return problem.status
