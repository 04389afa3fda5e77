"""uvicorn's HTTP protocol with bounds on a request's head: its size, and the time it takes; api and gateway serve so.

Bodies are bounded by the applications. What is refused is answered by `send_400_response`, which a program may word.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request line and headers have more bytes, or take longer, than the class says."""

    most: ClassVar[int]
    seconds: ClassVar[float]
    """Seconds for a head to arrive: a slow client cannot hold a connection for nothing."""
    _head = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as its base
        """The clock starts with the connection."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head or of a body."""
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > self.most and not self.transport.is_closing():
            self.send_400_response(f"The request's head is larger than {self.most} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
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

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _give_up(self) -> None:
        self.transport.close()
