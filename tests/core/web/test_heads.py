"""Heads are bounded in size and time, bodies are not taken for heads, and nothing is kept of closed connections."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from agentic_core.web import heads
from agentic_core.web.heads import HeadGuard, HeadLimits
from agentic_core.web.server import server
from tests.support.serving import serving
from tests.support.waiting import PATIENCE

LIMITS = HeadLimits(head_bytes=1024, head_seconds=0.3, chunked_bytes=100_000)
HEAD = b"%s / HTTP/1.1\r\nhost: x\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Responds with the size of the body; to GET without reading one."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    size, more = 0, scope["method"] == "POST"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected(limits: HeadLimits = LIMITS) -> AsyncGenerator[tuple[HeadGuard, Streams]]:
    """A guarded server and a connection to it."""
    process = server(echo, host="127.0.0.1", port=0, shutdown_seconds=1, heads=limits)
    guard = process.config.app
    assert isinstance(guard, HeadGuard)
    async with serving(process) as url:
        streams = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        try:
            yield guard, streams
        finally:
            streams[1].close()


async def status(reader: asyncio.StreamReader) -> int:
    """The status of the next response, read to its end."""
    head = await asyncio.wait_for(reader.readuntil(heads.BLANK_LINE), PATIENCE)
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    await reader.readexactly(length)
    return int(head.split()[1])


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nx-slow: "], ids=["nothing", "half a head"])
async def test_a_head_that_does_not_arrive_in_time_closes_the_connection(sent: bytes) -> None:
    async with connected() as (_, (reader, writer)):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


async def test_a_slow_head_on_a_kept_connection_closes_it() -> None:
    async with connected() as (_, (reader, writer)):
        writer.write(HEAD % b"GET" + b"\r\n")
        assert await status(reader) == 200
        writer.write(b"GET / HTTP/1.1\r\nx-slow: ")
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


@pytest.mark.parametrize("lines", [b"x: %s" % (b"1" * 2000), b"x: 1\r\n" * 300], ids=["one line", "many lines"])
@pytest.mark.parametrize("complete", [True, False])
async def test_a_large_head_is_refused(lines: bytes, *, complete: bool) -> None:
    async with connected() as (_, (reader, writer)):
        writer.write(HEAD % b"GET" + lines + b"\r\n\r\n" * complete)
        assert await status(reader) == 431
        assert await reader.read() == b""


async def test_a_head_may_come_byte_by_byte() -> None:
    async with connected() as (_, (reader, writer)):
        for byte in HEAD % b"GET" + b"\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        assert await status(reader) == 200


@pytest.mark.parametrize("chunk", [1, 700, 50_000])
async def test_a_body_is_not_taken_for_a_head(chunk: int) -> None:
    body = b"\r\n" * 25_000 if chunk > 1 else b"a" * 3000
    async with connected() as (_, (reader, writer)):
        for _ in range(3):  # on the same connection
            writer.write(HEAD % b"POST" + b"content-length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), chunk):
                writer.write(body[start : start + chunk])
                await writer.drain()
            assert await status(reader) == 200


async def test_a_body_that_nobody_read_is_not_taken_for_a_head() -> None:
    async with connected() as (_, (reader, writer)):
        writer.write(HEAD % b"GET" + b"content-length: 50000\r\n\r\n" + b"a" * 50_000)
        assert await status(reader) == 200


@pytest.mark.parametrize(
    "sent", [b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"content-length: 1\r\n\r\na"], ids=["chunked", "length"]
)
@pytest.mark.parametrize("late", [False, True], ids=["body at once", "body after the response"])
async def test_a_head_behind_a_body_that_nobody_read_is_bounded_too(sent: bytes, *, late: bool) -> None:
    head, end, body = sent.partition(b"\r\n\r\n")
    async with connected() as (_, (reader, writer)):
        writer.write(HEAD % b"GET" + head + end + body * (not late))
        assert await status(reader) == 200
        with contextlib.suppress(ConnectionError):  # a reset, where the connection is closed already
            writer.write(body * late + HEAD % b"GET")
            async with asyncio.timeout(10):
                while not reader.at_eof():
                    writer.write(b"x: 1\r\n")
                    await writer.drain()
                    await asyncio.wait([asyncio.ensure_future(reader.read())], timeout=0.01)


async def test_pipelined_bodies_are_not_taken_for_heads() -> None:
    async with connected() as (_, (reader, writer)):
        post = HEAD % b"POST" + b"content-length: 20000\r\n\r\n"
        writer.write(post + b"a" * 20_000 + post)
        assert await status(reader) == 200
        for _part in range(20):
            writer.write(b"a" * 1000)
            await writer.drain()
        assert await status(reader) == 200


async def test_a_body_without_a_length_is_bounded() -> None:
    async with connected() as (_, (reader, writer)):
        writer.write(HEAD % b"POST" + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


async def test_a_connection_that_is_closed_is_not_kept() -> None:
    gc.collect()
    gc.disable()
    try:
        async with connected() as (guard, (reader, writer)):
            writer.write(HEAD % b"GET" + b"\r\n")
            assert await status(reader) == 200
            writer.close()
            async with asyncio.timeout(5):
                while guard.connections:
                    await asyncio.sleep(0.01)
            assert not [one for one in gc.get_objects() if type(one) is heads._Connection]
    finally:
        gc.enable()


async def _bounds_hold() -> None:
    async with connected() as (_, (reader, writer)):
        for _request in range(2):
            writer.write(HEAD % b"POST" + b"content-length: 3000\r\n\r\n" + b"a" * 3000)
            assert await status(reader) == 200
        writer.write(HEAD % b"GET" + b"x: 1\r\n" * 300)
        assert await status(reader) == 431
    async with connected() as (_, (reader, writer)):
        writer.write(b"GET / HTTP/1.1\r\nx-slow: ")
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


def test_the_bounds_hold_on_the_event_loop_of_the_programs() -> None:
    uvloop.run(_bounds_hold())
