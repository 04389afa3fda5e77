"""Responses to clients that read slowly: in chunks that have to be taken in time. `app` puts it inside `Failures`.

A client that stops reading would keep its response in this process's memory for as long as its connection is open.
"""

import asyncio
from collections.abc import Iterator

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHUNK_BYTES = 64 * 1024
"""What the connection buffers of a response."""
CHUNK_SECONDS = 60.0
"""How long a client may take for a chunk; then the connection is closed."""


class SlowReaders:
    """An ASGI layer: each part of a body is sent only when the connection has taken the one before."""

    def __init__(self, app: ASGIApp, *, seconds: float = CHUNK_SECONDS) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""

        async def chunked(message: Message) -> None:
            for part in _parts(message):
                try:
                    async with asyncio.timeout(self.seconds):
                        await send(part)
                except TimeoutError:
                    raise ClientDisconnect from None

        await self.app(scope, receive, chunked if scope["type"] == "http" else send)


def _parts(message: Message) -> Iterator[Message]:
    body = message.get("body", b"")
    if len(body) <= CHUNK_BYTES:
        yield message
        return
    view, more = memoryview(body), message.get("more_body", False)
    for begin in range(0, len(body), CHUNK_BYTES):
        end = begin + CHUNK_BYTES
        yield {"type": message["type"], "body": bytes(view[begin:end]), "more_body": more or end < len(body)}
