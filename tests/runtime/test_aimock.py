"""Runs against a stand-in for providers that others wrote: tool loops, streaming and faults on both wires."""

import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.requirements import requirement
from tests.runtime import harness
from tests.runtime.harness import deltas, of, request, token
from tests.runtime.provider import Provider
from tests.support import aimock
from tests.support.aimock import Aimock

BEARER = token(lifetime=3600)
LONG = "Once upon a time there was a model that told long stories, and nobody ever stopped it. " * 5


def call(expression: str, name: str = "calculator") -> dict[str, str]:
    return {"name": name, "arguments": json.dumps({"expression": expression})}


FIXTURES: list[dict[str, Any]] = [
    {"match": {"toolResultContains": "4242"}, "response": {"content": "It is 4242."}},
    {"match": {"toolResultContains": "17"}, "response": {"toolCalls": [call("17 * 249 + 9")]}},
    {"match": {"toolResultContains": "schema"}, "response": {"content": "I called it wrongly."}},
    {"match": {"toolResultContains": "no such tool"}, "response": {"content": "I have no such tool."}},
    {"match": {"userMessage": "steps"}, "response": {"content": "Step by step.", "toolCalls": [call("8 + 9")]}},
    {"match": {"userMessage": "both", "hasToolResult": True}, "response": {"content": "Both."}},
    {"match": {"userMessage": "both"}, "response": {"toolCalls": [call("4240 + 2"), call("1 + 1")]}},
    {
        "match": {"userMessage": "wrong arguments"},
        "response": {"toolCalls": [{"name": "calculator", "arguments": '{"expression": 5}'}]},
    },
    {"match": {"userMessage": "unknown tool"}, "response": {"toolCalls": [call("1", "launch_rocket")]}},
    {"match": {"userMessage": "story"}, "response": {"content": LONG}, "chunkSize": 20},
    {"match": {"userMessage": "cut off"}, "response": {"content": LONG}, "chunkSize": 20, "truncateAfterChunks": 4},
    {
        "match": {"userMessage": "limited"},
        "response": {"error": {"message": "Slow down", "type": "rate_limit_error"}, "status": 429},
    },
    {
        "match": {"userMessage": "forbidden"},
        "response": {"error": {"message": "Not this model", "type": "permission_error"}, "status": 403},
    },
    {
        "match": {"userMessage": "counted"},
        "response": {
            "content": "Counted.",
            "usage": {
                "prompt_tokens": 1200,
                "completion_tokens": 34,
                "total_tokens": 1234,
                "input_tokens": 1200,
                "output_tokens": 34,
            },
        },
    },
    {"match": {}, "response": {"content": "Grüße 👋🏽 from the model."}},
]

pytestmark = pytest.mark.parametrize("wire", ["openai", "anthropic"])


@pytest.fixture(scope="module")
def provider() -> Generator[Aimock]:
    """A server that accepts the run token and nothing else."""
    with aimock.running(FIXTURES, key=BEARER) as server:
        yield server


async def run(provider: Aimock, wire: str, text: str, **definition: Any) -> list[Any]:
    async with harness.runtime(Provider(url=provider.url)) as client:
        answer = await client.post(request(text, wire=wire, tools=["calculator"], **definition), bearer=BEARER)
    return harness.parse(answer.content)


async def test_an_answer(wire: str, provider: Aimock) -> None:
    events = await run(provider, wire, "hello")
    assert deltas(events) == of(events, "final")[0].output == "Grüße 👋🏽 from the model."


async def test_a_long_answer_arrives_in_pieces(wire: str, provider: Aimock) -> None:
    events = await run(provider, wire, "a story", maxOutputTokens=4096)
    assert of(events, "final")[0].output == LONG
    assert len(of(events, "message.delta")) > 10


@requirement("langchain")
async def test_a_loop_of_three_model_calls(wire: str, provider: Aimock) -> None:
    events = await run(provider, wire, "in steps")
    assert [result.content for result in of(events, "tool.result")] == ["17", "4242"]
    assert of(events, "message")[0].message.content == "Step by step."
    assert of(events, "final")[0].output == "It is 4242."
    assert len(of(events, "usage")) == 3


async def test_two_calls_in_one_answer(wire: str, provider: Aimock) -> None:
    events = await run(provider, wire, "both")
    assert {result.content for result in of(events, "tool.result")} == {"4242", "2"}
    assert len({event.call.id for event in of(events, "tool.call")}) == 2
    assert events[-1].type == "final"


@pytest.mark.parametrize(
    ("text", "output"), [("wrong arguments", "I called it wrongly."), ("unknown tool", "I have no such tool.")]
)
async def test_conformance_31_the_model_is_told(text: str, output: str, wire: str, provider: Aimock) -> None:
    events = await run(provider, wire, text)
    assert of(events, "tool.result")[0].is_error
    assert of(events, "final")[0].output == output


async def test_the_tokens_are_the_providers(wire: str, provider: Aimock) -> None:
    usage = of(await run(provider, wire, "counted"), "usage")[0].usage
    assert (usage.input_tokens, usage.output_tokens) == (1200, 34)


async def test_a_stream_that_is_cut_off(wire: str, provider: Aimock) -> None:
    events = await run(provider, wire, "be cut off")
    assert LONG.startswith(deltas(events))
    assert of(events, "error")[0].error.code == "model_failed"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [("limited", "model_failed", "Slow down"), ("forbidden", "model_not_allowed", "Not this model")],
)
async def test_refusals(text: str, code: str, message: str, wire: str, provider: Aimock) -> None:
    error = of(await run(provider, wire, text), "error")[0].error
    assert (error.code, error.message) == (code, message)


async def test_a_conversation_with_tools(wire: str, provider: Aimock) -> None:
    earlier: list[dict[str, Any]] = [
        {"role": "user", "content": "in steps"},
        {"role": "assistant", "tool_calls": [{"id": "a1", "name": "calculator", "arguments": {"expression": "8+9"}}]},
        {"role": "tool", "tool_call_id": "a1", "content": "17"},
        {"role": "assistant", "content": "Seventeen."},
        {"role": "user", "content": "thanks"},
    ]
    async with harness.runtime(Provider(url=provider.url)) as client:
        answer = await client.post(request(*earlier, wire=wire), bearer=BEARER)
    assert harness.parse(answer.content)[-1].type == "final"
