"""The layer that bounds request bodies: their bytes, and the seconds in which they arrive."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic_core.errors import Malformed, RequestTimeout
from agentic_core.web import body


class BodyLimit:
    """Refuses bodies that are too large or too slow, and URLs with NUL characters."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise Malformed("The URL contains a NUL character, which no name here has.")
        if body.declared(scope["headers"]) > self.max_bytes:
            raise body.too_large(self.max_bytes)
        await self.app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Receive:
        size, complete = 0, False
        until: float | None = None

        async def bounded() -> Message:
            nonlocal size, complete, until
            if complete:
                return await receive()
            until = until or asyncio.get_running_loop().time() + self.seconds
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                late = f"The request body did not arrive within {self.seconds:g} s."
                raise RequestTimeout(late).closing() from None
            size += len(message.get("body", b""))
            if size > self.max_bytes:
                raise body.too_large(self.max_bytes)
            complete = message["type"] == "http.request" and not message.get("more_body", False)
            return message

        return bounded
