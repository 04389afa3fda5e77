"""Approximate counts, prices and the texts that the wires find in answers."""

import tracemalloc
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from agentic_crds.model_provider import ModelProviderSpec, Price, ProviderModel, ProviderType
from agentic_gateway.ledger import CallOutcome, Purpose, Spender, SpendingRun
from agentic_gateway.metrics import family, status_label
from agentic_gateway.reserve import tokens
from agentic_gateway.reserve.tokens import StreamedText
from agentic_gateway.route.routing import Backend
from agentic_gateway.settle import usage
from agentic_gateway.wires.anthropic import Messages
from agentic_gateway.wires.base import Operation, Tokens
from agentic_gateway.wires.openai import ChatCompletions, Embeddings
from tests.gateway.faults import delta, event


def nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({}, 0),
        ({"input": "x" * 40}, 10),
        ({"input": ["x" * 4, "y" * 5]}, 3),
        ({"messages": [{"content": "x" * 8}]}, 4 + 2),
        ({"system": "x" * 8, "messages": []}, 2),
        ({"messages": [{"content": [{"image_url": {"url": "data:image/png;base64," + "A" * 90_000}}]}]}, 4 + 1000),
        ({"messages": [{"content": [{"source": {"data": "A" * 90_000}}]}]}, 4 + 1000),
        ({"messages": [{"content": "data:" + "x" * 8_195}]}, 4 + 2050),
        ({"messages": [{"content": [{"type": "text", "text": "x" * 8_000}]}]}, 4 + 1 + 2000),
        ({"system": "\u4f60" * 40}, 30),
        ({"system": nested("x" * 8, 2000)}, 2),
        ({"temperature": 1, "user": "x" * 400}, 101),
        ({"tools": [{"x" * 400: 0.5}]}, 101),
        ({"messages": [{"content": [{"image_url": {"url": "https://x.example"}}]}]}, 4 + 1000 + 5),
        ({"messages": [{"content": [{"source": {"type": "text", "data": "A" * 8_000}}]}]}, 4 + 1 + 2000),
    ],
)
def test_a_prompts_tokens_are_estimated_from_all_its_parts(body: dict[str, Any], count: int) -> None:
    assert tokens.prompt(body) == count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("items", "count"),
    [
        ([1] * 300_000, 300_000),
        (dict.fromkeys(map(str, range(300_000)), "x"), 300_000 + 10_000 + 2 * 290_000),
        ([[1]] * 300_000, 300_000),
    ],
)
def test_a_prompt_of_many_items_is_counted_in_no_memory(items: Any, count: int) -> None:
    body = {"input": items}
    tracemalloc.start()
    try:
        assert tokens.prompt(body) == count
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("operation", "answer", "texts"),
    [
        (ChatCompletions(), {"choices": [{"delta": {"role": "assistant", "content": "Hi"}}]}, ["Hi"]),
        (ChatCompletions(), {"choices": [{"message": {"content": "Hi", "reasoning_content": "so"}}]}, ["Hi", "so"]),
        (ChatCompletions(), {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]}, ["{}"]),
        (ChatCompletions(), {"choices": None}, []),
        (ChatCompletions(), {"choices": ["odd", {"delta": "odd"}]}, []),
        (
            Messages(),
            {"content": [{"type": "text", "text": "Hi"}, {"type": "tool_use", "input": {"a": "b"}}]},
            ["Hi", "b"],
        ),
        (Messages(), {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}, ["Hi"]),
        (Messages(), {"type": "content_block_delta", "delta": {"partial_json": "{}"}}, ["{}"]),
        (Messages(), {"type": "ping"}, []),
        (Messages(), {"content": 7}, []),
        (Messages(), {"content": [{"input": nested("Hi", 2000)}]}, ["Hi"]),
    ],
)
def test_every_text_of_an_answer_is_found(operation: Operation, answer: dict[str, Any], texts: list[str]) -> None:
    assert list(operation.texts(answer)) == texts


def test_a_long_stream_is_counted_on_the_way() -> None:
    streamed = StreamedText(ChatCompletions())
    for _ in range(1000):
        streamed.add(delta("x" * 400))
    assert streamed.tokens() == 100_000
    streamed.add(b": a comment\n\ndata: not json {\n\n")
    streamed.add(event("content_block_delta", delta={"text": "another wire"}))
    assert streamed.tokens() == 100_000


@pytest.mark.parametrize(
    ("used", "price", "cost"),
    [
        (Tokens(1, 0), Price(input="0.15"), "0.00000015"),
        (Tokens(1_000_000, 1_000_000), Price(input="2.5", output="10"), "12.5"),
        (Tokens(3, 7), Price(), "0"),
    ],
)
def test_costs_are_exact(used: Tokens, price: Price, cost: str) -> None:
    assert usage.cost(used, price) == Decimal(cost)


def test_a_row_of_usage_takes_less_than_a_kilobyte() -> None:
    model = ProviderModel(name="m" * 128, price=Price(input="1", output="2"))
    backend = Backend("uid", "ns", "p" * 63, ModelProviderSpec(type=ProviderType.OPENAI, models=[model]), model)
    some = UUID(int=7)
    spender = Spender(some, f"run:{some}", "a", SpendingRun(some, 1000, running_at=0), Purpose.RUN)
    made = usage.row(
        spender, backend, ChatCompletions(), tokens=Tokens(1, 2), estimated=False, outcome=CallOutcome.COMPLETED
    )
    assert (made.tenant_id, made.run_id) == (some, some)
    assert made.cost == Decimal("0.000005")
    assert len(orjson.dumps(made, default=str)) < 1024


def test_a_row_may_have_no_run() -> None:
    model = ProviderModel(name="m")
    backend = Backend("uid", "ns", "p", ModelProviderSpec(type=ProviderType.OPENAI, models=[model]), model)
    spender = Spender(UUID(int=7), "service", None, None, Purpose.RUN)
    made = usage.row(spender, backend, Embeddings(), tokens=Tokens(3), estimated=True, outcome=CallOutcome.COMPLETED)
    assert (made.run_id, made.tokens) == (None, 3)


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("claude-sonnet-4-5", "claude-sonnet"),
        ("meta/llama-3:8b", "llama"),
        ("GPT-4o", "gpt-4"),
        ("acme-secret", "other"),
    ],
)
def test_metrics_know_families_only(model: str, known: str) -> None:
    assert family(model) == known


def test_statuses_that_a_provider_chooses_are_counted_by_class() -> None:
    assert status_label(200) == "200"
    assert len({status_label(status) for status in range(100, 1000)}) < 25
    assert {status_label(status) for status in (201, 299)} == {"2xx"}
