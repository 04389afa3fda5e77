"""Request bodies, read within bounds of size and time; ASGI applications without a framework call `read`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from agentic_core.errors import RequestTimeout, TooLarge

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Exception):
    """The client closed the connection before its request was complete; nobody is left to respond to."""


DISCARD_SECONDS = 2.0
"""How long a client that is refused while it still sends may go on, so that it gets to read the response."""


async def read(receive: Receive, *, max_bytes: int, seconds: float) -> bytes:
    """The whole body. Raises `TooLarge`, `RequestTimeout` or `Disconnected`."""
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, max_bytes)
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {seconds:g} s.").closing() from None
    except TooLarge:
        await discard(receive)
        raise


async def discard(receive: Receive, *, seconds: float = DISCARD_SECONDS) -> None:
    """Read the rest of a body and throw it away, for some seconds at most.

    A socket that is closed with unread bytes resets the connection, and the response is lost with it.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(min(seconds, DISCARD_SECONDS)):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass


def declared(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The Content-Length of a message; 0 when it declares none."""
    return next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)


async def _read(receive: Receive, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(max_bytes: int) -> TooLarge:
    """The error of a body of more than `max_bytes`, which closes the connection."""
    return TooLarge(f"The request body is larger than {max_bytes} bytes.").closing()
