"""A provider that misbehaves as its path says, and keeps nothing of what it gets: memory is the gateway's to bound."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import orjson

from tests.security.measure import MIB

BEHAVIOURS = ("good", "silent", "large", "endless")
"""It responds; never does; sends 31 MiB; streams an event that never ends."""
ANSWER = orjson.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
)
PIECE = b"x" * 65_536


async def _respond(writer: asyncio.StreamWriter, behaviour: str) -> None:
    if behaviour == "silent":
        await asyncio.Event().wait()
    if behaviour == "endless":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: {")
        while True:
            writer.write(PIECE)
            await writer.drain()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    if behaviour == "good":
        writer.write(head + b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER)
        return
    writer.write(head + b'connection: close\r\n\r\n{"choices": [], "text": "')
    for _ in range(31 * MIB // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()
    writer.write(b'"}')
    writer.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            left = int(head.partition("content-length:")[2].partition("\r\n")[0])
            while left:
                left -= len(await reader.read(min(left, len(PIECE))) or exit_with(left))
            await _respond(writer, head.split("/")[1])
    writer.close()


def exit_with(left: int) -> bytes:
    """The request ended early."""
    raise asyncio.IncompleteReadError(b"", left)


@asynccontextmanager
async def provider() -> AsyncGenerator[str]:
    """Its URL, while it serves."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
