"""Bounds of request heads, for programs that tenants' pods call directly, with no proxy in front: api and gateway.

uvicorn bounds neither the size of a head nor the time that it takes. `HeadGuard` stands between a connection and
uvicorn's protocol, both of them asyncio protocols, and closes the connections that break a bound; as an ASGI layer it
learns what body a request has, and when all of it was read. `linger` closes connections whose body was not.

Invariants: bytes count for a head from a connection's start, or from the end of a request, up to the next blank line,
so no body is taken for a head; and whatever follows a head is bounded, by the length that it declares where it does.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agentic_core.web import body

BLANK_LINE = b"\r\n\r\n"
REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
SEND_BYTES = 128 * 1024
"""What the kernel keeps of a response that is not read. By itself it would take megabytes a connection, which count for
the pod's memory and for none of our bounds."""

Peer = tuple[str, int]


@dataclass(frozen=True)
class HeadLimits:
    """What a request may be before it is parsed."""

    head_bytes: int = 64 * 1024
    """Bytes of the request line and the headers."""
    head_seconds: float = 10.0
    """Seconds in which they must arrive, from the first byte or from the opening of the connection."""
    chunked_bytes: int = 64 * 1024 * 1024
    """Bytes of a body that does not declare its length, as it is encoded."""


class HeadGuard:
    """The guarded connections of one server, and the ASGI layer around its application."""

    def __init__(self, app: ASGIApp, limits: HeadLimits) -> None:
        self._app = app
        self.limits = limits
        self.connections: dict[Peer, _Connection] = {}

    def connection(self, **arguments: Any) -> asyncio.Protocol:
        """A guarded connection: the `http` of the server whose application this layer is."""
        return _Connection(self, HttpToolsProtocol(**arguments))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        connection = self.connections.get(scope["client"]) if scope["type"] == "http" else None
        if connection is None:
            await self._app(scope, receive, send)
            return
        if not body.expected(scope["headers"]):
            connection.expect_head()
        elif declared := body.declared(scope["headers"]):
            connection.expect_body(declared + self.limits.head_bytes)
        else:
            connection.expect_body(self.limits.chunked_bytes)

        async def reading() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                connection.expect_head()
            return message

        await self._app(scope, reading, send)


class _Connection(asyncio.Protocol):
    """One connection: passes everything on to uvicorn's protocol, and counts what belongs to heads."""

    def __init__(self, guard: HeadGuard, inner: asyncio.Protocol) -> None:
        self._guard = guard
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._size = 0
        """Bytes of the head, or since its end."""
        self._allowed = guard.limits.chunked_bytes
        """Bytes that may follow the head."""
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._peer: Peer = transport.get_extra_info("peername")[:2]
        self._guard.connections[self._peer] = self
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self._start_timer()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._guard.connections.pop(self._peer, None)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._count_head(data)
        else:
            self._size += len(data)
        if self._size > (self._guard.limits.head_bytes if self._in_head else self._allowed):
            self._refuse()
            return
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def expect_head(self) -> None:
        """The request ends here: what comes next is a head."""
        if not self._in_head:
            self._in_head, self._size, self._tail = True, 0, b""

    def expect_body(self, max_bytes: int) -> None:
        """A head ends here: so many bytes may follow before the next one."""
        self._stop_timer()
        self._in_head, self._size, self._allowed = False, 0, max_bytes

    def _count_head(self, data: bytes) -> None:
        if self._timer is None:
            self._start_timer()
        end = (self._tail + data).find(BLANK_LINE)
        if end < 0:
            self._size += len(data)
            self._tail = (self._tail + data)[-len(BLANK_LINE) + 1 :]
            return
        self._size += end - len(self._tail)
        if self._size <= self._guard.limits.head_bytes:
            self.expect_body(self._guard.limits.chunked_bytes)

    def _refuse(self) -> None:
        assert self._transport is not None  # noqa: S101 - data comes after the connection
        if self._in_head and not self._transport.is_closing():
            self._transport.write(REFUSAL)
        self._transport.close()

    def _start_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._guard.limits.head_seconds, self._expired)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        if self._transport is not None:
            self._transport.close()
