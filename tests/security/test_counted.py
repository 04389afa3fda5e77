"""Nothing in a request is free: the gateway passes on known members only, and all that it passes on counts."""

from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_core.errors import PlatformError
from agentic_gateway.accepted import accept
from agentic_gateway.problems import UnknownMember, Unpriced
from agentic_gateway.reserve import tokens
from agentic_gateway.wires.anthropic import Messages
from agentic_gateway.wires.base import Operation
from agentic_gateway.wires.openai import ChatCompletions, Embeddings
from tests.gateway import support
from tests.gateway.conftest import gateway, upstream
from tests.gateway.faults import FaultServer, answer, completion

__all__ = ["gateway", "upstream"]

MEGABYTE = 1_000_000
TEXT = "word " * (MEGABYTE // 5)
SHAPES: dict[str, Any] = {
    "text": TEXT,
    "list": [TEXT],
    "object": {"description": TEXT},
    "key": {TEXT: ""},
    "numbers": [17] * (MEGABYTE // 5),
    "fractions": [0.125] * (MEGABYTE // 5),
    "empty": [[]] * 190_000,
    "image": [{"image_url": {"url": TEXT}}],
    "data URL": [{"image_url": {"url": "data:image/png;base64," + TEXT}}],
    "beside an image": [{"image_url": {"url": "data:image/png;base64,AA", "detail": TEXT}}],
    "document": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * MEGABYTE}}],
}
OPERATIONS: list[Operation] = [ChatCompletions(), Embeddings(), Messages()]
LEAST: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": []},
    "/v1/embeddings": {"input": []},
    "/v1/messages": {"messages": [], "max_tokens": 1},
}


def body_of(operation: Operation, **members: Any) -> bytes:
    return orjson.dumps({"model": "a/m"} | LEAST[operation.path] | members)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)
def test_a_megabyte_counts_in_whichever_member_it_is(operation: Operation) -> None:
    passed: set[str] = set()
    for member in (operation.members | operation.own) - {"model"}:  # which is replaced
        for shape, value in SHAPES.items():
            try:
                accepted = accept(operation, body_of(operation, **{member: value}), {})
            except PlatformError:
                continue  # it cannot have this shape
            assert len(accepted.rest) > MEGABYTE / 3, member
            assert accepted.prompt_tokens > 80_000, (member, shape)
            passed.add(member)
    assert len(passed) >= len(LEAST[operation.path]), "nothing was tried"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)
@pytest.mark.parametrize("member", ["documents", "prompt", "extra_body", "x" * 1000])
def test_a_member_that_is_not_known_is_refused_by_its_name(operation: Operation, member: str) -> None:
    with pytest.raises(UnknownMember, match=f"'{member[:64]}"):
        accept(operation, body_of(operation, **{member: "x"}), {})
    assert member.encode() not in accept(operation, body_of(operation, **{member: None}), {}).rest


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (ChatCompletions(), {"content": [{"type": "video_url", "video_url": {"url": "https://x.example"}}]}),
        (ChatCompletions(), {"content": [{"type": "file", "file": {"file_id": "f"}}]}),
        (ChatCompletions(), {"content": [{"type": "file", "file": {"file_data": "AA", "file_id": "f"}}]}),
        (ChatCompletions(), {"content": [{"text": "without a type"}]}),
        (ChatCompletions(), {"audio": {"id": "spoken before"}}),
        (Messages(), {"content": [{"type": "document", "source": {"type": "url", "url": "https://x.example"}}]}),
        (Messages(), {"content": [{"type": "container_upload", "file_id": "f"}]}),
        (
            Messages(),
            {"content": [{"type": "tool_result", "content": [{"type": "document", "source": {"type": "file"}}]}]},
        ),
    ],
)
def test_what_is_elsewhere_is_not_passed_on(operation: Operation, message: dict[str, Any]) -> None:
    with pytest.raises((Unpriced, UnknownMember), match=r"messages\[0\]"):
        accept(operation, body_of(operation, messages=[{"role": "user"} | message]), {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=60), inner, max_size=10),
    max_leaves=60,
)


@given(value=JSON, repeated=st.integers(1, 200))
def test_the_estimate_follows_the_size_of_what_is_sent(value: Any, repeated: int) -> None:
    body = body_of(Embeddings(), input=[value] * repeated)
    accepted = accept(Embeddings(), body, {})
    images = sum(len(text) for text in _strings(value) if text.startswith("data:image/")) * repeated
    free = tokens.ENVELOPE_BYTES + images
    assert accepted.prompt_tokens >= (len(accepted.rest) - free) // tokens.STRUCTURE_BYTES_PER_TOKEN


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _strings(item)]


async def test_a_run_spends_nothing_with_what_it_hides(gateway: support.Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    upstream.plays(answer(200, completion()))
    token = gateway.token("a/m", max_tokens=100_000)
    small = {"model": "a/m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10}
    schema = {"type": "json_schema", "json_schema": {"name": "x", "description": TEXT}}
    hidden: dict[str, Any] = {
        "functions": [{"name": "f", "description": TEXT}],
        "response_format": schema,
        "documents": [TEXT],
        "prompt": TEXT,
    }
    async with httpx2.AsyncClient(base_url=gateway.url, headers={"Authorization": f"Bearer {token}"}) as client:
        statuses = [
            (await client.post("/v1/chat/completions", json=small | {name: value})).status_code
            for name, value in hidden.items()
        ]
        assert statuses == [402, 402, 400, 400]
        assert upstream.requests == []
        assert (await client.post("/v1/chat/completions", json=small)).status_code == 200
