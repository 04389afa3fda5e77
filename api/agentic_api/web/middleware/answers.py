"""Large answers on their way to clients: the edge sends them in pieces, and counts them to the tenant that asked.

A client that reads slowly, or not at all, keeps the rest of its answer in this process's memory.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic_api.identity.principal import Caller, PlatformAdmin
from agentic_api.web.middleware import record
from agentic_core import telemetry
from agentic_core.errors import RateLimited
from agentic_core.web import body
from agentic_core.web.problems import response
from agentic_core.web.shares import Shares

PIECE_BYTES = 64 * 1024
"""What the connection holds of an answer. Smaller ones are not counted."""
SECONDS_A_PIECE = 60.0
"""How long a client may take for it; then the connection is closed."""
NOBODY = UUID(int=0)
"""To whom answers are counted that need no credential, such as the pages of the documentation."""
RETRY_SECONDS = 2.0
log = telemetry.logger(__name__)


class TooManyAnswers(RateLimited):
    """The tenant's large answers fill its share of the replica."""

    code, title = "too_many_answers", "Too many large answers at once"


class Answers:
    """The large answers of a process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tenants = Shares(most, each=most)
        self._anonymous = Shares(most, each=most)

    def hold(self, caller: Caller | None, size: int) -> Callable[[], None]:
        """Count an answer of so many bytes; call what it returns once it is sent. Raises `TooManyAnswers`."""
        if isinstance(caller, PlatformAdmin):
            return lambda: None
        shares, holder = (self._tenants, caller.tenant_id) if caller else (self._anonymous, NOBODY)
        counted = min(size, self._most // 2)  # otherwise the largest one would not even fit alone
        if not shares.take(holder, counted):
            raise TooManyAnswers(
                "The request was carried out, but there is no room for its large answer: those that your tenant has not"
                f" read yet hold {shares.held(holder)} bytes of this replica of the api. Read them, or close their"
                " connections, and try again.",
                retry_after=RETRY_SECONDS,
            )
        return lambda: shares.give(holder, counted)


class LargeAnswers:
    """The layer that counts large answers."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.answers = Answers(max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        current, refused, counted = record.of(scope), False, False

        async def counting(message: Message) -> None:
            nonlocal refused, counted
            if refused:
                return
            try:
                if message["type"] == "http.response.start":
                    size = body.declared(message.get("headers", ()))
                    if size > PIECE_BYTES:
                        current.at_end.append(self.answers.hold(current.caller, size))
                        counted = True
                    await send(message)
                else:
                    await self._send_part(current.caller, message, send, counted=counted)
            except TooManyAnswers as error:
                refused = True
                if current.status:
                    log.info("stream ended early: no room for its next part", request_id=current.request_id)
                    await send({"type": "http.response.body", "body": b""})
                else:
                    await response(error, request_id=current.request_id)(scope, receive, send)

        await self.app(scope, receive, counting)

    async def _send_part(self, caller: Caller | None, message: Message, send: Send, *, counted: bool) -> None:
        size = len(message.get("body", b""))
        if size <= PIECE_BYTES:
            await send(message)
            return
        sent = _nothing if counted else self.answers.hold(caller, size)
        try:
            await in_pieces(message, send)
        finally:
            sent()


def _nothing() -> None:
    """The whole answer is counted already."""


async def in_pieces(message: Message, send: Send) -> None:
    """Send a part of a body piece by piece: each waits until the connection has taken the one before."""
    whole = memoryview(message["body"])
    final = not message.get("more_body", False)
    last = len(whole) - PIECE_BYTES
    for begin in range(0, len(whole), PIECE_BYTES):
        piece = bytes(whole[begin : begin + PIECE_BYTES])
        more = not (final and begin >= last)
        try:
            async with asyncio.timeout(SECONDS_A_PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            raise ClientDisconnect from None
