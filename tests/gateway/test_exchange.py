"""Bodies of requests, before any call of a provider."""

from typing import Any

import pytest

from agentic_core.errors import TooLarge
from agentic_gateway.exchange import HttpExchange

MANY = 400_000


def exchange(body: bytes) -> HttpExchange:
    """A request with this body."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message: Any) -> None:
        raise AssertionError("there is no response here")

    return HttpExchange({"path": "/", "headers": []}, receive, send)


@pytest.mark.parametrize("body", [b'{"a":[' + b"[]," * MANY + b"0]}", b'{"a":[' + b"1," * (6 * MANY) + b"0]}"])
async def test_a_body_of_too_many_values_is_not_even_parsed(body: bytes) -> None:
    with pytest.raises(TooLarge, match="more than"):
        await exchange(body).json(max_bytes=32 * 1024 * 1024, seconds=5)


async def test_a_long_text_is_fine() -> None:
    text = "for (i = 0; i < n; i++) { a[i] = f(i, n); }\n" * 50_000
    parsed = await exchange(b'{"a":"' + text.replace("\n", "\\n").encode() + b'"}').json(max_bytes=8_000_000, seconds=5)
    assert parsed == {"a": text}
