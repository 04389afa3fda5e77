"""A model server on a real socket that sends scripted responses, byte by byte, and records its requests.

It stands in for the gateway where a test needs faults and timing that a provider does not offer on request.
"""

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncGenerator[str]:
    """Serves an application on a free port of the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        while not server.started:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await task


@dataclass(frozen=True)
class ReceivedRequest:
    """A request that the provider received."""

    path: str
    headers: dict[str, str]
    credentials: list[str]
    """Every credential that the request carries."""
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """A scripted response of the provider."""

    events: list[bytes] = field(default_factory=list)
    status: int = 200
    hang: bool = False
    """Keep the stream open after the events, until the client leaves."""
    breaks: bool = False
    """Drop the connection in the middle."""
    gap: float = 0.0
    """Seconds between events."""


@dataclass
class Provider:
    """The server's recorded requests and scripted responses."""

    url: str = ""
    replies: deque[Reply] = field(default_factory=deque)
    default: Reply | None = None
    """The response once all scripted ones have been sent."""
    requests: list[ReceivedRequest] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client closed the connection before the response was complete."""

    async def respond(self, request: Request) -> Response:
        body = await request.json()
        keys = ("authorization", "x-api-key")
        credentials = [value.decode() for name, value in request.headers.raw if name.decode() in keys]
        headers = dict(request.headers)
        self.requests.append(
            ReceivedRequest(path=request.url.path, headers=headers, credentials=credentials, body=body)
        )
        reply = self.replies.popleft() if self.replies else self.default
        assert reply, "the provider's script is over"
        if reply.status != 200:
            return Response(b"".join(reply.events), reply.status, media_type="application/json")
        return StreamingResponse(self._stream(reply), media_type="text/event-stream")

    async def _stream(self, reply: Reply) -> AsyncIterator[bytes]:
        try:
            for event in reply.events:
                yield event
                await asyncio.sleep(reply.gap)
            if reply.breaks:
                raise ConnectionAbortedError
            if reply.hang:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left.set()
            raise


@asynccontextmanager
async def provider() -> AsyncGenerator[Provider]:
    """A provider with both wires, whose responses the test sets."""
    made = Provider()
    routes = [Route(path, made.respond, methods=["POST"]) for path in ("/v1/chat/completions", "/v1/messages")]
    async with serving(Starlette(routes=routes)) as url:
        made.url = url
        yield made


# -- OpenAI's wire


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def _data(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def openai_end(finish: str, usage: tuple[int, int] | None = (3, 2)) -> list[bytes]:
    """The end of a response."""
    events = [_chunk({}, finish)]
    if usage:
        counted = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
        document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
        events.append(_data({**document, "usage": counted}))
    return [*events, b"data: [DONE]\n\n"]


def openai_pieces(*pieces: str) -> list[bytes]:
    """The beginning of a response in text."""
    return [_chunk({"role": "assistant", "content": ""}), *(_chunk({"content": piece}) for piece in pieces)]


def openai_text(*pieces: str, usage: tuple[int, int] | None = (3, 2), finish: str = "stop") -> Reply:
    """A whole response in text."""
    return Reply([*openai_pieces(*pieces), *openai_end(finish, usage)])


def openai_calls(*calls: tuple[str, str, str], text: str = "", finish: str = "tool_calls") -> Reply:
    """A response that calls tools: id, name, arguments as text. The arguments arrive in two chunks."""
    events = openai_pieces(*([text] if text else []))
    for index, (identity, name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        start = {"index": index, "id": identity, "type": "function"}
        events.append(_chunk({"tool_calls": [{**start, "function": {"name": name, "arguments": arguments[:half]}}]}))
        rest = {"index": index, "function": {"arguments": arguments[half:]}}
        events.append(_chunk({"tool_calls": [rest]}))
    return Reply([*events, *openai_end(finish, (10, 5))])


# -- Anthropic's wire


def _event(kind: str, **body: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()


def _anthropic(blocks: Iterable[list[bytes]], stop: str, usage: tuple[int, int]) -> Reply:
    message: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
    }
    begin = {**message, "stop_sequence": None, "usage": {"input_tokens": usage[0], "output_tokens": 0}}
    counted = {"input_tokens": usage[0], "output_tokens": usage[1]}
    return Reply(
        [
            _event("message_start", message=begin),
            *(event for block in blocks for event in block),
            _event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=counted),
            _event("message_stop"),
        ]
    )


def _text_block(index: int, pieces: Iterable[str]) -> list[bytes]:
    deltas = [
        _event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece}) for piece in pieces
    ]
    start = _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
    return [start, *deltas, _event("content_block_stop", index=index)]


def _call_block(index: int, call: tuple[str, str, str]) -> list[bytes]:
    block = {"type": "tool_use", "id": call[0], "name": call[1], "input": {}}
    half = len(call[2]) // 2
    return [
        _event("content_block_start", index=index, content_block=block),
        *(
            _event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})
            for piece in (call[2][:half], call[2][half:])
        ),
        _event("content_block_stop", index=index),
    ]


def anthropic_text(*pieces: str, usage: tuple[int, int] = (3, 2), finish: str = "end_turn") -> Reply:
    """A whole response in text."""
    return _anthropic([_text_block(0, pieces)], finish, usage)


def anthropic_calls(*calls: tuple[str, str, str], text: str = "", finish: str = "tool_use") -> Reply:
    """A response that calls tools."""
    blocks = [_text_block(0, [text])] if text else []
    blocks += [_call_block(index + len(blocks), call) for index, call in enumerate(calls)]
    return _anthropic(blocks, finish, (10, 5))
