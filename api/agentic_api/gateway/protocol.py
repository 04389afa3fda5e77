"""uvicorn's HTTP protocol with a bound on the size of a request's head; `main` gives it to the server."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def bounded(most: int) -> type[HttpToolsProtocol]:
    """The protocol that closes connections whose request line and headers have more than `most` bytes."""

    class BoundedProtocol(HttpToolsProtocol):
        _head = 0
        _in_head = True

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                self._head += len(data)
            super().data_received(data)
            if self._in_head and self._head > most and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")

        def on_message_begin(self) -> None:
            self._in_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._head = 0
            if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > most:
                raise ValueError("the head is too large")
            super().on_headers_complete()

    return BoundedProtocol
