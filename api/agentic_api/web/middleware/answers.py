"""Large answers on their way to clients: the edge sends them in pieces, and counts them to the tenant that asked.

A client that reads slowly, or not at all, keeps the rest of its answer in this process's memory.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

from starlette.requests import ClientDisconnect
from starlette.types import Message, Send

from agentic_api.identity.principal import Caller, PlatformAdmin
from agentic_core.errors import RateLimited
from agentic_core.web.shares import Shares

PIECE_BYTES = 64 * 1024
"""What the connection holds of an answer. Smaller ones are not counted."""
SECONDS_A_PIECE = 60.0
"""How long a client may take for it; then the connection is closed."""
NOBODY = UUID(int=0)
"""To whom answers are counted that need no credential, such as the pages of the documentation."""
RETRY_SECONDS = 2.0


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


def declared(start: Message) -> int:
    """The bytes that an answer says it will have; 0 for a stream."""
    return next((int(value) for name, value in start.get("headers", ()) if name.lower() == b"content-length"), 0)


def for_browsers(start: Message) -> list[tuple[bytes, bytes]]:
    """The headers of an answer without which a web page may not see another one in its place."""
    headers: list[tuple[bytes, bytes]] = start.get("headers", [])
    return [(name, value) for name, value in headers if name == b"vary" or name.startswith(b"access-control-")]


async def in_pieces(message: Message, send: Send) -> None:
    """Send a part of a body piece by piece: each waits until the connection has taken the one before."""
    body = memoryview(message["body"])
    final = not message.get("more_body", False)
    last = len(body) - PIECE_BYTES
    for begin in range(0, len(body), PIECE_BYTES):
        piece = bytes(body[begin : begin + PIECE_BYTES])
        more = not (final and begin >= last)
        try:
            async with asyncio.timeout(SECONDS_A_PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            raise ClientDisconnect from None
