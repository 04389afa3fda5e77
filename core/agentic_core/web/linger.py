"""Lets a client that is refused while it still sends read why: what it sends is read on for a moment, and thrown away.

A socket that is closed with unread bytes resets the connection, and the response is lost with it. An ASGI layer; the
api and the gateway put it around their applications.
"""

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic_core.web import body


class Lingering:
    """Holds the end of a response that closes its connection until the request has arrived, for `seconds` at most."""

    def __init__(self, app: ASGIApp, *, seconds: float = 2.0) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http" or not body.expected(scope["headers"]):
            await self.app(scope, receive, send)
            return
        arrived = closes = False

        async def reading() -> Message:
            nonlocal arrived
            message = await receive()
            arrived = not message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            nonlocal closes
            if message["type"] == "http.response.start":
                closes = any(name.lower() == b"connection" for name, _ in message.get("headers", ()))
            elif closes and not arrived and not message.get("more_body", False):
                await send({**message, "more_body": True})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.seconds):
                        while not arrived:
                            await reading()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, reading, sending)
