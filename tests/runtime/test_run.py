"""Runs on both wires: what the client sees, what the provider receives."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentic_core.contract import Usage
from tests.requirements import requirement
from tests.runtime.harness import Client, deltas, of, request, token
from tests.runtime.provider import (
    Provider,
    Reply,
    anthropic_calls,
    anthropic_text,
    openai_calls,
    openai_end,
    openai_pieces,
    openai_text,
)
from tests.support.waiting import until

Text = Callable[..., Reply]
TEXT: dict[str, Text] = {"openai": openai_text, "openaiCompatible": openai_text, "anthropic": anthropic_text}
CALLS: dict[str, Text] = {"openai": openai_calls, "openaiCompatible": openai_calls, "anthropic": anthropic_calls}
WIRES = list(TEXT)


@requirement("runtime", "langchain", "providers")
@pytest.mark.parametrize("wire", WIRES)
async def test_a_run_streams_its_answer(wire: str, model: Provider, client: Client) -> None:
    model.replies.append(TEXT[wire]("Hello", ", ", "wörld 🌍"))
    events = await client.run(request("hi", wire=wire))
    assert [event.type for event in events] == [*["message.delta"] * 3, "message", "usage", "final"]
    assert deltas(events) == of(events, "message")[0].message.content == of(events, "final")[0].output
    assert of(events, "final")[0].output == "Hello, wörld 🌍"
    assert of(events, "usage")[0].usage == Usage(input_tokens=3, output_tokens=2)
    assert of(events, "usage")[0].model == "main/model-1"


@pytest.mark.parametrize("wire", WIRES)
async def test_the_provider_gets_prompt_model_token_and_trace(
    wire: str, model: Provider, client: Client, spans: InMemorySpanExporter
) -> None:
    model.replies.append(TEXT[wire]("ok"))
    bearer = token()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = request("hi", wire=wire, temperature=0.5, systemPrompt="Sei kurz. 短く。")
    await client.post(body, bearer=bearer, traceparent=trace)
    received = model.requests[0]
    assert received.body["model"] == "main/model-1"
    assert received.body["stream"] is True
    assert received.credentials == [f"Bearer {bearer}"]
    assert received.body["temperature"] == 0.5
    assert received.headers["traceparent"].split("-")[1] == trace.split("-")[1]

    async def ended() -> bool:
        return len(spans.get_finished_spans()) == 2

    await until(ended, "both spans to end")
    chat, run = spans.get_finished_spans()
    assert (chat.name, run.name) == ("chat model-1", "invoke_agent helper")
    assert received.headers["traceparent"].split("-")[2] == f"{chat.context.span_id:016x}"
    assert chat.parent == run.context
    assert run.parent is not None
    assert f"{run.parent.span_id:016x}" == trace.split("-")[2]
    assert "Sei kurz" not in chat.to_json() + run.to_json()
    if wire == "anthropic":
        assert received.path == "/v1/messages"
        assert received.body["system"] == "Sei kurz. 短く。"
        assert received.body["max_tokens"] == 100
    else:
        assert received.path == "/v1/chat/completions"
        assert received.body["messages"][0]["content"] == "Sei kurz. 短く。"
        assert received.body["stream_options"] == {"include_usage": True}
        assert received.body["max_tokens" if wire == "openaiCompatible" else "max_completion_tokens"] == 100


@pytest.mark.parametrize("wire", WIRES)
async def test_two_runs_at_once_use_their_own_tokens(wire: str, model: Provider, client: Client) -> None:
    model.default = TEXT[wire]("ok")
    first, second = token(run_id="run-1"), token(run_id="run-2")
    await client.post(request(wire=wire), bearer=first)
    await client.post({**request(wire=wire), "run_id": "run-2"}, bearer=second)
    assert [received.credentials for received in model.requests] == [[f"Bearer {first}"], [f"Bearer {second}"]]


HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "What is 2+2?"},
    {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [{"id": "c1", "name": "calculator", "arguments": {"expression": "2+2"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "4"},
    {"role": "assistant", "content": "It is 4."},
    {"role": "user", "content": "Sure? ✓"},
]


async def test_history_reaches_openai(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("Yes."))
    await client.run(request(*HISTORY))
    system, user, call, result, answer, last = model.requests[0].body["messages"]
    assert system["role"] in ("system", "developer")
    assert (user["role"], user["content"]) == ("user", "What is 2+2?")
    assert call["role"] == "assistant"
    assert call["content"] == "Let me see."
    function = call["tool_calls"][0]["function"]
    assert (call["tool_calls"][0]["id"], function["name"]) == ("c1", "calculator")
    assert json.loads(function["arguments"]) == {"expression": "2+2"}
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "c1", "4")
    assert (answer["content"], last["content"]) == ("It is 4.", "Sure? ✓")


async def test_history_reaches_anthropic(model: Provider, client: Client) -> None:
    model.replies.append(anthropic_text("Yes."))
    await client.run(request(*HISTORY, wire="anthropic"))
    user, call, result, answer, last = model.requests[0].body["messages"]
    assert user == {"role": "user", "content": "What is 2+2?"}
    assert [block["type"] for block in call["content"]] == ["text", "tool_use"]
    assert call["content"][1]["input"] == {"expression": "2+2"}
    assert result["role"] == "user"
    assert result["content"][0]["type"] == "tool_result"
    assert result["content"][0]["tool_use_id"] == "c1"
    assert answer["content"] == "It is 4."
    assert last["content"] == "Sure? ✓"


async def test_an_answer_without_usage_is_estimated(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("x" * 400, usage=None))
    events = await client.run(request("y" * 80))
    assert of(events, "usage")[0].usage.output_tokens == 100
    assert of(events, "usage")[0].usage.input_tokens >= 20


async def test_a_prompt_of_a_megabyte(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("ok"))
    prompt, text = "p" * 1_000_000, "é" * 1_000_000
    events = await client.run(request(text, systemPrompt=prompt, limits={"maxTokens": 10_000_000}))
    assert events[-1].type == "final"
    assert [message["content"] for message in model.requests[0].body["messages"]] == [prompt, text]


async def test_an_empty_answer_is_an_answer(model: Provider, client: Client) -> None:
    model.replies.append(Reply([*openai_pieces(), *openai_end("stop")]))
    events = await client.run(request())
    assert of(events, "final")[0].output == ""


async def test_broken_surrogates_of_a_model_do_not_break_the_stream(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("a\ud83d", "b"))
    events = await client.run(request())
    assert of(events, "final")[0].output == "a\N{REPLACEMENT CHARACTER}b"
