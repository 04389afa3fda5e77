"""Ends connections whose request was not read to its end, and lets the client read the response before.

A socket that is closed with unread bytes resets the connection, and the response is lost with it. So what the client
still sends is read for a moment and discarded. An ASGI layer; the api and the gateway put it around their
applications.
"""

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic_core.web import body

CLOSE = (b"connection", b"close")


class Lingering:
    """Holds the end of a response that closes its connection until the request has arrived, for `seconds` at most.

    Invariant: after a response either all of the request was received through `receive`, or the connection closes; so
    what follows on a connection that is kept is the next request's head.
    """

    def __init__(self, app: ASGIApp, *, seconds: float = 2.0) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http" or not body.expected(scope["headers"]):
            await self.app(scope, receive, send)
            return
        arrived = False

        async def reading() -> Message:
            nonlocal arrived
            message = await receive()
            arrived = not message.get("more_body", False)
            return message

        async def read_on(seconds: float) -> None:
            """With 0 seconds, what is buffered already."""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not arrived:
                        await reading()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not arrived:
                await read_on(0)
                if not arrived:
                    message["headers"] = [*_without_connection(message), CLOSE]
            elif message["type"] == "http.response.body" and not arrived and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await read_on(self.seconds)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, reading, sending)


def _without_connection(start: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in start.get("headers", ()) if name.lower() != b"connection"]
