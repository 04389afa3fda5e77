"""uvicorn's HTTP protocol with bounds on a request's head: its size, and the time it takes; api and gateway serve so.

Bodies are bounded by the applications. What is refused is answered by `send_400_response`, which a program may word.
Who is still sending gets to see the answer: a socket that is closed with unread bytes resets the connection, and the
answer is lost with it, so what comes is read on for a while and thrown away (as in nginx's `lingering_close`).
"""

import asyncio
from typing import ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class LingeringTransport:
    """A transport with what uvicorn uses of it, whose first `close` ends only what is sent while a request arrives."""

    def __init__(self, transport: asyncio.Transport, protocol: "BoundedProtocol") -> None:
        self._transport = transport
        self._protocol: BoundedProtocol | None = protocol
        self._lingers = False
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Send what comes before the end; a pipelined request may still be worked on after it."""
        if not self._lingers:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing may be sent any more."""
        return self._lingers or self._transport.is_closing()

    def close(self) -> None:
        """End the answers; and the connection, when the client does, its time is over, or this is called again."""
        if self.is_closing() or self._protocol is None or not self._protocol.receiving:
            self._transport.close()
            return
        self._lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._protocol.answered()

    def release(self) -> None:
        """The connection is gone: what it held is freed now, not when cycles are collected."""
        self._protocol = None


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request line and headers have more bytes, or take longer, than the class says."""

    most: ClassVar[int]
    seconds: ClassVar[float]
    """Seconds for a head to arrive, or the rest of a body that is answered already: a slow client cannot hold a
    connection for nothing."""
    _head = 0
    _in_head = True
    receiving = False
    """Whether the client is in the middle of a request."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as its base
        """The clock starts with the connection."""
        self._connection = transport
        self._lingering = LingeringTransport(transport, self)
        super().connection_made(cast("asyncio.Transport", self._lingering))
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)
        self._lingering.release()

    def data_received(self, data: bytes) -> None:
        """Bytes of a head or of a body."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > self.most and not self.transport.is_closing():
            self.send_400_response(f"The request's head is larger than {self.most} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = self.receiving = True
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there; it may have come at once, with the body."""
        self._in_head = False
        self._head = 0
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self.most:
            raise ValueError("the head is too large")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self.receiving = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written; when the rest of the body has come in time, the next head has what is left of it."""
        super().on_response_complete()
        if self.receiving and self.cycle.response_complete:
            self._start_timer()

    def answered(self) -> None:
        """Nothing more is sent: whoever still works on the request learns that nobody listens."""
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr] # it is at first
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._start_timer()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _give_up(self) -> None:
        self._connection.close()
