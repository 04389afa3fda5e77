"""The layer that bounds the time until a response begins; endpoints that wait for runs remove the bound themselves."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic_api.web.middleware import record
from agentic_core.errors import Timeout


class Deadline:
    """Gives requests up that take too long."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        current = record.of(scope)

        async def begun(message: Message) -> None:
            current.unlimited()
            await send(message)

        try:
            async with asyncio.timeout(self.seconds) as current.deadline:
                await self.app(scope, receive, begun)
        except TimeoutError as error:
            if current.deadline is None or not current.deadline.expired():
                raise
            raise Timeout(f"The request took longer than {self.seconds:g} s and was given up.") from error
