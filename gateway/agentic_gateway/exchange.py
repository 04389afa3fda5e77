"""One HTTP exchange with a caller, over ASGI: its head, its body within limits, its end; `app` and `flow` use it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from agentic_core.web import body
from agentic_core.web.body import Disconnected

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class CallerGone(Exception):
    """The caller closed the connection; there is no caller to respond to."""


class HttpExchange:
    """A request and its response."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._send = send
        self.status = 0
        """Status of the response, 0 before it has begun."""

    async def send(self, message: Message) -> None:
        """Send a part of the response; returns when the connection accepts more."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a whole response."""
        sent = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        sent.append((b"content-length", b"%d" % len(body)))
        await self.send({"type": "http.response.start", "status": status, "headers": sent})
        await self.send({"type": "http.response.body", "body": body})

    async def reply_json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response as JSON."""
        await self.reply(status, orjson.dumps(body), {"content-type": "application/json", **(headers or {})})

    def max_body_bytes(self, limit: int) -> int:
        """How large the body may be by the head of the request, where one is `limit` at most. Raises `TooLarge`."""
        declared = body.declared(self.headers.items())
        if declared > limit:
            raise body.too_large(limit)
        return limit if b"transfer-encoding" in self.headers else declared

    async def body(self, *, max_bytes: int, seconds: float) -> bytes:
        """The body of the request."""
        try:
            return await body.read(self._receive, max_bytes=max_bytes, seconds=seconds)
        except Disconnected:
            raise CallerGone from None

    @asynccontextmanager
    async def while_connected(self) -> AsyncGenerator[None]:
        """Cancels the block when the caller disconnects, and then raises `CallerGone`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await self._receive())["type"] != "http.disconnect":
                pass
            gone = True
            task.cancel()

        watcher = asyncio.get_running_loop().create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if gone and task.uncancel() == 0:
                raise CallerGone from None
            raise
        finally:
            watcher.cancel()
