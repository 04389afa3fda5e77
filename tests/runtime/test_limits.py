"""Limits of a run: counted purely, held in the middle of a stream, reported with what was produced before."""

import asyncio
import time

import pytest

from agentic_core.contract import Usage
from agentic_crds.agent import Limits
from agentic_runtime.failures import RunFailed
from agentic_runtime.limits import LimitMeter, estimate
from agentic_runtime.tools import registry
from tests.requirements import requirement
from tests.runtime import harness
from tests.runtime.harness import Client, deltas, elapsed, of, request
from tests.runtime.provider import (
    Provider,
    Reply,
    anthropic_text,
    openai_calls,
    openai_pieces,
    openai_text,
)
from tests.runtime.test_tools import Plugin
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("abcd" * 10, 10), ("語" * 40, 30), ("\ud800" * 8, 2)], ids=["", "en", "zh", "broken"]
)
def test_estimates(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


def test_calls_are_counted() -> None:
    guard = LimitMeter(Limits(max_iterations=2, max_tokens=100))
    assert guard.begin(0) == 100
    guard.settle(Usage(input_tokens=10, output_tokens=20))
    assert guard.begin(0) == 70
    with pytest.raises(RunFailed, match="2 model calls") as raised:
        guard.begin(0)
    assert raised.value.error.code == "max_iterations_exceeded"


def test_usage_replaces_the_estimate() -> None:
    guard = LimitMeter(Limits(max_tokens=100))
    guard.begin(50)
    guard.streamed("x" * 160)
    assert guard.in_flight() == Usage(input_tokens=50, output_tokens=40)
    guard.settle(Usage(input_tokens=10, output_tokens=10))
    assert guard.begin(0) == 80


def test_small_pieces_add_up() -> None:
    guard = LimitMeter(Limits(max_tokens=100))
    guard.begin(0)
    for _ in range(403):
        guard.streamed("a")
    with pytest.raises(RunFailed) as raised:
        guard.streamed("a")
    assert raised.value.error.code == "max_tokens_exceeded"


def test_nothing_begins_when_nothing_is_left() -> None:
    guard = LimitMeter(Limits(max_tokens=30))
    guard.begin(0)
    guard.settle(Usage(input_tokens=10, output_tokens=20))
    with pytest.raises(RunFailed) as raised:
        guard.begin(0)
    assert raised.value.error.code == "max_tokens_exceeded"


@requirement("agent-definition")
async def test_max_tokens_cuts_a_stream(model: Provider, client: Client) -> None:
    model.replies.append(Reply([*openai_pieces(*["word " * 20] * 50)], hang=True, gap=0.001))
    events = await client.run(request(limits={"maxTokens": 200}))
    assert of(events, "error")[0].error.code == "max_tokens_exceeded"
    kept = of(events, "message")[0].message.content
    assert kept == deltas(events)
    assert 600 <= len(kept) <= 1000
    assert of(events, "usage")[0].usage.output_tokens > 100
    await asyncio.wait_for(model.left.wait(), PATIENCE)


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        ("openai", openai_text("short", usage=(900, 200))),
        ("anthropic", anthropic_text("short", usage=(900, 200))),
        ("openai", openai_text("short", usage=(10, 50), finish="length")),
        ("anthropic", anthropic_text("short", usage=(10, 50), finish="max_tokens")),
    ],
    ids=["openai, by usage", "anthropic, by usage", "openai, by the provider", "anthropic, by the provider"],
)
async def test_the_providers_count_has_the_last_word(wire: str, reply: Reply, model: Provider, client: Client) -> None:
    model.replies.append(reply)
    events = await client.run(request(wire=wire, maxOutputTokens=4096, limits={"maxTokens": 1000}))
    assert of(events, "message")[0].message.content == "short"
    assert of(events, "error")[0].error.code == "max_tokens_exceeded"
    received = model.requests[0].body
    assert received.get("max_completion_tokens", received.get("max_tokens")) == 1000


async def test_an_answer_cut_at_its_own_length_is_an_answer(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("short", finish="length"))
    events = await client.run(request(maxOutputTokens=2))
    assert of(events, "final")[0].output == "short"


async def test_max_iterations(model: Provider, client: Client) -> None:
    model.default = openai_calls(("c1", "calculator", '{"expression": "1+1"}'))
    events = await client.run(request(tools=["calculator"], limits={"maxIterations": 3}))
    assert of(events, "error")[0].error.code == "max_iterations_exceeded"
    assert len(model.requests) == len(of(events, "usage")) == len(of(events, "tool.result")) == 3


async def load(client: Client, model: Provider, wire: str) -> None:
    """The first run of a process also imports LangChain and the wire's SDK, which takes seconds on a busy machine."""
    model.replies.append(anthropic_text("ready") if wire == "anthropic" else openai_text("ready"))
    assert of(await client.run(request(wire=wire)), "final")[0].output == "ready"


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_max_execution_time_reaches_a_silent_provider(wire: str, model: Provider, client: Client) -> None:
    await load(client, model, wire)
    began = Reply(anthropic_text("so far").events[:3]) if wire == "anthropic" else Reply(openai_pieces("so far"))
    model.replies.append(Reply(began.events, hang=True))
    started = time.monotonic()
    events = await client.run(request(wire=wire, limits={"maxExecutionTime": 1}))
    assert 0.9 < elapsed(started) < PATIENCE
    assert deltas(events) == "so far"
    assert of(events, "error")[0].error.code == "max_execution_time_exceeded"
    await asyncio.wait_for(model.left.wait(), PATIENCE)


async def test_max_execution_time_includes_tools(model: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "installed", lambda: {"slow": Plugin("slow", lambda _: asyncio.Event().wait())})
    async with harness.runtime(model) as client:
        await load(client, model, "openai")
        model.replies.append(openai_calls(("c1", "slow", "{}")))
        events = await client.run(request(tools=["slow"], limits={"maxExecutionTime": 1}))
    assert [event.type for event in events[-2:]] == ["tool.call", "error"]
    assert of(events, "error")[0].error.code == "max_execution_time_exceeded"
