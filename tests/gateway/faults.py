"""A provider that misbehaves as the test says: raw bytes, pauses, broken connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson


@dataclass(frozen=True)
class Request:
    """What the gateway sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Script = Callable[[Request], AsyncIterator[bytes]]
"""Yields what is sent; the connection is closed when it ends."""


class FaultServer:
    """Plays one script after another, the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.scripts: list[Script] = []
        self.left = asyncio.Event()
        """Set when the gateway closes a connection while a script waits."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """Base URL, for providers of OpenAI's wire."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def plays(self, *scripts: Script) -> None:
        """What the next connections see."""
        self.scripts = list(scripts)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            request = await _read(reader)
            self.requests.append(request)
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            await self._play(script(request), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _play(
        self, script: AsyncIterator[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        gone = asyncio.create_task(reader.read())
        while True:
            piece = asyncio.ensure_future(anext(script, None))
            await asyncio.wait({gone, piece}, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                piece.cancel()
                self.left.set()
                return
            data = piece.result()
            if data is None:
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await gone
                return
            writer.write(data)
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split()[1], headers, orjson.loads(body or b"{}"))


def answer(status: int, body: bytes | dict[str, Any], **headers: str) -> Script:
    """A whole answer."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {"content-type": "application/json", "content-length": str(len(data))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())

    async def script(_request: Request) -> AsyncIterator[bytes]:
        yield f"HTTP/1.1 {status} Status\r\n{head}connection: close\r\n\r\n".encode() + data

    return script


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(*pieces: bytes, end: bool = True, hang: bool = False) -> Script:
    """A stream of these pieces: ended as HTTP requires, broken off, or silent after the last one."""

    async def script(_request: Request) -> AsyncIterator[bytes]:
        yield STREAM_HEAD
        for piece in pieces:
            yield chunk(piece)
        if hang:
            await asyncio.Event().wait()
        if end:
            yield b"0\r\n\r\n"

    return script


async def silence(_request: Request) -> AsyncIterator[bytes]:
    """Nothing, for ever."""
    await asyncio.Event().wait()
    yield b""


async def slam(_request: Request) -> AsyncIterator[bytes]:
    """The connection is closed without a word."""
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


def delta(text: str, **more: Any) -> bytes:
    """An event of OpenAI's stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps(head | {"choices": [choice]} | more) + b"\n\n"


def usage(prompt: int, completion: int) -> bytes:
    """The event that reports the usage, without choices."""
    return delta("", choices=[], usage={"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 0})


DONE = b"data: [DONE]\n\n"


def completion(text: str = "Hello.", **more: Any) -> dict[str, Any]:
    """OpenAI's whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return head | {"choices": [choice], "usage": counts} | more


def event(name: str, **members: Any) -> bytes:
    """An event of Anthropic's stream."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name} | members))
