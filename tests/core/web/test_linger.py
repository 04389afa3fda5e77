"""A response comes at once, and its connection is kept only when all of the request was read."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentic_core.web.linger import Lingering

Message = MutableMapping[str, Any]
LENGTH = (b"content-length", b"2")
CLOSE = (b"connection", b"close")


def part(*, more: bool) -> Message:
    return {"type": "http.request", "body": b"12345", "more_body": more}


@dataclass
class Connection:
    """A client whose `buffered` parts have arrived; each of the `late` ones comes a moment after it is waited for."""

    buffered: list[Message] = field(default_factory=list)
    late: list[Message] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    sent_before: list[int] = field(default_factory=list)
    """How many messages were sent when each late part was waited for."""

    async def receive(self) -> Message:
        if self.buffered:
            return self.buffered.pop(0)
        self.sent_before.append(len(self.sent))
        await asyncio.sleep(0.001)
        return self.late.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def respond(self, headers: list[tuple[bytes, bytes]], *, seconds: float = 5, body: bool = True) -> None:
        """Have an application respond that reads nothing."""

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            await send({"type": "http.response.body", "body": b"no"})

        request = [(b"content-length", b"10")] if body else []
        await Lingering(app, seconds=seconds)({"type": "http", "headers": request}, self.receive, self.send)

    @property
    def closes(self) -> bool:
        return CLOSE in self.sent[0]["headers"]


@pytest.mark.parametrize("headers", [[LENGTH], [LENGTH, CLOSE]])
async def test_the_response_is_sent_before_the_rest_of_the_request_is_read(headers: list[tuple[bytes, bytes]]) -> None:
    client = Connection(buffered=[part(more=True)], late=[part(more=True), part(more=False)])
    await client.respond(headers)
    assert client.closes
    assert [one.get("body") for one in client.sent] == [None, b"no", b""]
    assert client.sent_before[-2:] == [2, 2], "the rest is read after the response was sent"
    assert not client.late


async def test_a_client_that_disconnects_ends_the_wait() -> None:
    client = Connection(late=[{"type": "http.disconnect"}] * 2)
    await client.respond([LENGTH])
    assert client.sent[-1]["body"] == b""


async def test_a_request_that_has_arrived_keeps_its_connection() -> None:
    client = Connection(buffered=[part(more=True), part(more=False)])
    await client.respond([LENGTH])
    assert not client.closes
    assert [one.get("body") for one in client.sent] == [None, b"no"]


async def test_a_request_without_a_body_is_not_looked_at() -> None:
    client = Connection()
    await client.respond([LENGTH], body=False)
    assert not client.closes


async def test_a_client_that_sends_for_ever_is_cut_off() -> None:
    client = Connection(late=[part(more=True)] * 100_000)
    await client.respond([LENGTH], seconds=0.05)
    assert [one.get("body") for one in client.sent] == [None, b"no", b""]
    assert client.late
