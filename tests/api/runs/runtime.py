"""A stand-in for runtimes that misbehaves on demand; it speaks the contract over a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from agentic_core import contract
from agentic_core.contract import (
    Event,
    Final,
    Message,
    MessageDelta,
    MessageDone,
    RunRequest,
    ToolCall,
    ToolEnded,
    ToolStarted,
    Usage,
    UsageReported,
    read_request,
)


class Answer:
    """What a script writes to."""

    def __init__(self, request: RunRequest, response: web.StreamResponse) -> None:
        self.request = request
        self._response = response

    @property
    def text(self) -> str:
        """What the user said last."""
        return self.request.messages[-1].content

    async def send(self, *events: Event) -> None:
        """Send events in one piece."""
        await self.write(b"".join(contract.line(event) for event in events))

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self._response.write(data)

    async def say(self, text: str) -> None:
        """A whole ordinary answer."""
        message = Message(role="assistant", content=text)
        usage = UsageReported(model="local/echo", usage=Usage(input_tokens=3, output_tokens=2))
        await self.send(MessageDelta(text=text), MessageDone(message=message), usage, Final(output=text))


Script = Callable[[Answer], Awaitable[None]]


async def echo(answer: Answer) -> None:
    """Say what the user said."""
    await answer.say(answer.text)


async def calculate(answer: Answer) -> None:
    """Use a tool, then answer."""
    call = ToolCall(id="c1", name="calculator", arguments={"expression": "6*7"})
    await answer.send(
        MessageDone(message=Message(role="assistant", content="", tool_calls=[call])),
        ToolStarted(call=call),
        ToolEnded(id="c1", name="calculator", content="42", duration_ms=3),
    )
    await answer.say("It is 42.")


@dataclass
class Runtime:
    """A runtime whose scripts the test chooses by what the user says; all else is echoed."""

    url: str = ""
    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[RunRequest] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    """The run tokens that came with them."""
    status: list[int] = field(default_factory=list)
    """Statuses to refuse with before serving, one a request."""
    refusal: dict[str, str] = field(default_factory=dict)
    """Headers of those refusals."""
    problem: Any = None
    """The problem document of those refusals."""
    headers: dict[str, str] = field(default_factory=dict)
    """More headers of the answers."""
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request with a script has begun."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """For scripts that wait for the test."""
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the api has closed a connection before the answer ended."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One run."""
        wanted = read_request(await request.read())
        _, _, token = request.headers["authorization"].partition("Bearer ")
        self.tokens.append(token)
        self.requests.append(wanted)
        if self.status:
            return self._refuse(self.status.pop(0))
        response = web.StreamResponse(headers={"Content-Type": contract.NDJSON} | self.headers)
        await response.prepare(request)
        answer = Answer(wanted, response)
        try:
            await self.scripts.get(answer.text, echo)(answer)
        except (asyncio.CancelledError, ConnectionError):
            self.dropped.set()
            raise
        return response

    def _refuse(self, status: int) -> web.Response:
        if self.problem is None:
            return web.Response(status=status, headers=self.refusal)
        headers = {"Content-Type": "application/problem+json"} | self.refusal
        return web.Response(status=status, body=json.dumps(self.problem).encode(), headers=headers)

    async def hang(self, answer: Answer) -> None:
        """Say something, then nothing until the test says so."""
        await answer.send(MessageDelta(text="so "), MessageDelta(text="far"))
        self.began.set()
        while not self.go_on.is_set():
            await answer.write(b"\n")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.go_on.wait(), 0.1)
        await answer.say("so far so good")

    async def cut(self, answer: Answer) -> None:
        """Say something, then lose the connection."""
        await answer.send(MessageDelta(text="half an ans"))
        request = answer._response._req
        assert request is not None
        transport = request.transport
        assert transport is not None
        transport.abort()

    async def silent(self, answer: Answer) -> None:
        """Say something, then not even keep alive."""
        await answer.send(MessageDelta(text="hm"))
        await self.go_on.wait()


@asynccontextmanager
async def runtime() -> AsyncGenerator[Runtime]:
    """A runtime on a free port."""
    stand_in = Runtime()
    app = web.Application(client_max_size=2**26)
    app.router.add_post(contract.RUN_PATH, stand_in.serve)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stand_in.url = f"http://{host}:{port}"
    try:
        yield stand_in
    finally:
        stand_in.go_on.set()
        await runner.cleanup()
