"""Request bodies, read within bounds of size and time; ASGI applications without a framework call `read`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from agentic_core.errors import RequestTimeout, TooLarge

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Exception):
    """The client closed the connection before its request was complete; there is no client to respond to."""


async def read(receive: Receive, *, max_bytes: int, seconds: float) -> bytes:
    """The whole body. Raises `TooLarge`, `RequestTimeout` or `Disconnected`."""
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, max_bytes)
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {seconds:g} s.").closing() from None


def declared(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The Content-Length of a message; 0 when it declares none."""
    return next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)


def expected(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a message with these headers has a body."""
    return declared(headers) > 0 or any(name.lower() == b"transfer-encoding" for name, _ in headers)


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
