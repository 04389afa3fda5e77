"""A refusal is sent at once, and its connection is closed when the client has sent all, or its time is over."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from agentic_core.web.linger import Lingering

CLOSING = [(b"connection", b"close"), (b"content-length", b"2")]
KEEPING = [(b"content-length", b"2")]
Message = MutableMapping[str, Any]


async def exchange(
    parts: list[Message], headers: list[tuple[bytes, bytes]], *, sent: bool = True, seconds: float = 5
) -> list[Any]:
    """What happens, in order: `receive` for each part that is read, and the bodies that are sent."""
    happened: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": b"no"})

    async def receive() -> Message:
        happened.append("receive")
        await asyncio.sleep(0)
        return parts.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            happened.append((message["body"], message.get("more_body", False)))

    length = [(b"content-length", b"10")] if sent else []
    await Lingering(app, seconds=seconds)({"type": "http", "headers": length}, receive, send)
    return happened


def part(*, more: bool) -> Message:
    return {"type": "http.request", "body": b"12345", "more_body": more}


async def test_the_response_is_sent_before_the_rest_of_the_request_is_read() -> None:
    happened = await exchange([part(more=True), part(more=False)], CLOSING)
    assert happened == [(b"no", True), "receive", "receive", (b"", False)]


async def test_a_client_that_disconnects_ends_the_wait() -> None:
    assert await exchange([{"type": "http.disconnect"}], CLOSING) == [(b"no", True), "receive", (b"", False)]


@pytest.mark.parametrize(("headers", "sent"), [(KEEPING, True), (CLOSING, False)], ids=["kept", "without a body"])
async def test_other_responses_pass_unchanged(headers: list[tuple[bytes, bytes]], *, sent: bool) -> None:
    assert await exchange([], headers, sent=sent) == [(b"no", False)]


async def test_a_client_that_sends_for_ever_is_cut_off() -> None:
    happened = await exchange([part(more=True)] * 1000, CLOSING, seconds=0)
    assert happened[0] == (b"no", True)
    assert happened[-1] == (b"", False)
    assert len(happened) < 1000
