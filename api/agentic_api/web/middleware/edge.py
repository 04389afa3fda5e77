"""The edge of the api: names each request, measures it, bounds its time, and answers when nothing else did.

`app` puts it around everything. Pure ASGI, because it runs for every request and every streamed piece.
"""

import asyncio
import time
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic_api.web import problems
from agentic_api.web.middleware import answers
from agentic_api.web.middleware import exchange as exchanges
from agentic_api.web.middleware.answers import Answers, TooManyAnswers
from agentic_api.web.middleware.exchange import Exchange
from agentic_core import telemetry
from agentic_core.db import faults
from agentic_core.errors import Malformed, PlatformError, RequestTimeout, Timeout, TooLarge, Unavailable
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.problems import response

log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How large a request may be and how long it may take."""

    max_body_bytes: int
    """Bytes of the body."""
    body_timeout: float
    """Seconds for the body to arrive."""
    request_timeout: float
    """Seconds for the answer to begin after that."""
    answer_bytes: int
    """Bytes of all large answers that clients have not read yet."""


class Edge:
    """The ASGI layer around the application."""

    def __init__(self, app: ASGIApp, *, limits: Limits, metrics: HttpMetrics) -> None:
        self.app = app
        self.limits = limits
        self.metrics = metrics
        self.answers = Answers(limits.answer_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        self.metrics.started()
        exchange = Exchange(exchanges.request_id(scope), asyncio.timeout(self.limits.request_timeout))
        scope[exchanges.KEY] = exchange
        scope["request_id"] = exchange.request_id
        try:
            await self._bounded(exchange, scope, receive, send)
        finally:
            for end in exchange.at_end:
                end()
            seconds = time.perf_counter() - started
            self.metrics.ended(_method(scope), _route(scope), exchange.status or 499, seconds=seconds)

    async def _bounded(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        replies = self._sender(exchange, scope, receive, send)
        try:
            async with exchange.deadline:
                self._refuse(scope)
                await self.app(scope, self._receiver(exchange, receive), replies)
        except ClientDisconnect:
            log.debug("client went away", request_id=exchange.request_id)
        except Exception as error:  # noqa: BLE001 - the last place where anything becomes an answer
            exchange.limited = False  # the deadline is over
            await self._fail(exchange, self._meaning(exchange, error, _route(scope)), scope, receive, replies)

    def _meaning(self, exchange: Exchange, error: Exception, route: str) -> PlatformError:
        if isinstance(error, PlatformError):
            return error
        if isinstance(error, TimeoutError) and exchange.deadline.expired():
            return self._too_late(exchange)
        if faults.is_unavailable(error):
            log.warning("the database is unavailable", request_id=exchange.request_id, route=route, error=repr(error))
            return _unavailable()
        log.error("request failed", request_id=exchange.request_id, route=route, exc_info=error)
        return PlatformError(f"Something went wrong here; the logs know it as request {exchange.request_id}.")

    def _receiver(self, exchange: Exchange, receive: Receive) -> Receive:
        size = 0

        async def bounded() -> Message:
            nonlocal size
            if exchange.read:
                return await receive()
            if not exchange.reading:
                exchange.reading = True
                exchange.allow(self.limits.body_timeout)
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.limits.max_body_bytes:
                raise self._too_large()
            if message["type"] == "http.request" and not message.get("more_body", False):
                exchange.reading, exchange.read = False, True
                exchange.allow(self.limits.request_timeout)
            return message

        return bounded

    def _sender(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> Send:
        request_id = exchange.request_id.encode()

        async def named(message: Message) -> None:
            if exchange.refused:
                return
            if message["type"] != "http.response.start":
                await self._send_part(exchange, message, send)
                return
            try:
                self._count(exchange, answers.declared(message))
            except TooManyAnswers as error:
                exchange.headers += answers.for_browsers(message)
                await self._fail(exchange, error, scope, receive, named)
                exchange.refused = True
                return
            exchange.unlimited()
            exchange.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id), *exchange.headers]
            await send(message)

        return named

    def _count(self, exchange: Exchange, size: int) -> None:
        if size > answers.PIECE_BYTES:
            exchange.at_end.append(self.answers.hold(exchange.caller, size))
            exchange.counted = True

    async def _send_part(self, exchange: Exchange, message: Message, send: Send) -> None:
        size = len(message.get("body", b""))
        if size <= answers.PIECE_BYTES:
            await send(message)
        elif exchange.counted:
            await answers.in_pieces(message, send)
        else:
            await self._send_large(exchange, message, send)

    async def _send_large(self, exchange: Exchange, message: Message, send: Send) -> None:
        """Send a large part of a stream. Without room for it the stream ends here, and its client comes again."""
        try:
            sent = self.answers.hold(exchange.caller, len(message["body"]))
        except TooManyAnswers:
            exchange.refused = True
            log.info("a stream ended early: no room for its next part", request_id=exchange.request_id)
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            await answers.in_pieces(message, send)
        finally:
            sent()

    def _refuse(self, scope: Scope) -> None:
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise Malformed("The URL contains a NUL character, which no name here has.")
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self.limits.max_body_bytes:
                raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request body is larger than {self.limits.max_body_bytes} bytes.").closing()

    def _too_late(self, exchange: Exchange) -> PlatformError:
        if exchange.reading:
            seconds = self.limits.body_timeout
            return RequestTimeout(f"The request body did not arrive within {seconds:g} s.").closing()
        return Timeout(f"The request took longer than {self.limits.request_timeout:g} s and was given up.")

    async def _fail(self, exchange: Exchange, error: PlatformError, scope: Scope, receive: Receive, send: Send) -> None:
        if exchange.status:
            return
        await response(error, request_id=exchange.request_id)(scope, receive, send)


def _method(scope: Scope) -> str:
    return str(scope["method"]) if scope["method"] in problems.METHODS else "OTHER"


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _unavailable() -> Unavailable:
    error = Unavailable("The database does not answer now; try again in a moment.")
    error.headers["Retry-After"] = "1"
    return error
