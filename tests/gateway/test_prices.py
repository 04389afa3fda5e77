"""What the price list does not cover is refused by name; what costs more than it says is charged for more."""

import re
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from tests.gateway.faults import FaultServer, answer, completion, event, stream
from tests.gateway.support import Running

ASK = [{"role": "user", "content": "Hello?"}]
OPENAI: list[tuple[dict[str, Any], str]] = [
    ({"n": 5}, "n"),
    ({"best_of": 3}, "best_of"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}}, "'(modalities|audio)'"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"search_parameters": {"mode": "on"}}, "search_parameters"),
    ({"plugins": [{"id": "web"}]}, "plugins"),
    ({"models": ["other/dearer"]}, "models"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]}, r"tools\[1\]"),
    ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, r"tools\[0\]"),
    ({"tools": [{"type": ["file_search"]}]}, r"tools\[0\]"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, r"messages\[0\]"),
]
ANTHROPIC: list[tuple[dict[str, Any], str]] = [
    ({"service_tier": "priority"}, "service_tier"),
    ({"speed": "fast"}, "speed"),
    ({"inference_geo": "us"}, "inference_geo"),
    ({"container": "c"}, "container"),
    ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, "mcp_servers"),
    ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management"),
    ({"fallbacks": "default"}, "fallbacks"),
    ({"thread": {"type": "create"}}, "thread"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, r"tools\[0\]"),
    ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, r"tools\[0\]"),
    ({"tools": [{"name": "mine", "input_schema": {}}, {"type": "advisor_20260301"}]}, r"tools\[1\]"),
]


async def post(gateway: Running, path: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
    """A raw request."""
    sent = {"Authorization": f"Bearer {gateway.token('a/m')}"} | headers
    async with httpx2.AsyncClient(base_url=gateway.url, headers=sent) as client:
        return await client.post(path, json={"model": "a/m", "messages": ASK, "max_tokens": 9} | body)


@pytest.mark.parametrize(("body", "named"), OPENAI, ids=range(len(OPENAI)))
async def test_what_has_no_price_at_openai_is_refused(
    gateway: Running, upstream: FaultServer, body: dict[str, Any], named: str
) -> None:
    gateway.resources.provider("a", upstream.url, "m", kind="openai")
    refused = await post(gateway, "/v1/chat/completions", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unpriced_feature")
    assert re.search(named, refused.json()["error"]["message"])
    assert upstream.requests == []


@pytest.mark.parametrize(("body", "named"), ANTHROPIC, ids=range(len(ANTHROPIC)))
async def test_what_has_no_price_at_anthropic_is_refused(
    gateway: Running, upstream: FaultServer, body: dict[str, Any], named: str
) -> None:
    gateway.resources.provider("a", upstream.url, "m", kind="anthropic")
    refused = await post(gateway, "/v1/messages", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unpriced_feature")
    assert re.search(named, refused.json()["error"]["message"])
    assert upstream.requests == []


async def test_a_beta_with_a_price_of_its_own_is_refused(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m", kind="anthropic")
    refused = await post(gateway, "/v1/messages", {}, **{"anthropic-beta": "other,context-1m-2025-08-07"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unpriced_feature")


@pytest.mark.parametrize(
    "body",
    [
        {"n": 1, "service_tier": "auto", "modalities": ["text"], "prediction": None, "tools": None},
        {"service_tier": "default", "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}]},
        {"top_k": 5, "guided_json": {}, "metadata": {"n": "5"}},
    ],
)
async def test_what_costs_nothing_more_is_passed_on(
    gateway: Running, upstream: FaultServer, body: dict[str, Any]
) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    upstream.plays(answer(200, completion()))
    assert (await post(gateway, "/v1/chat/completions", body)).status_code == 200
    assert body.items() <= upstream.requests[0].body.items()


async def test_tools_that_the_caller_runs_are_passed_on(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m", kind="anthropic")
    upstream.plays(answer(200, message(usage={"input_tokens": 1, "output_tokens": 1})))
    kinds = ("custom", "bash_20250124", "text_editor_20250728", "memory_20250818", "computer_20251124")
    body = {"tools": [{"type": kind, "name": "t"} for kind in kinds], "service_tier": "standard_only"}
    assert (await post(gateway, "/v1/messages", body)).status_code == 200


def message(**more: Any) -> dict[str, Any]:
    """Anthropic's answer."""
    return {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []} | more


SHORT = {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 0}
MIXED = {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400}


@pytest.mark.parametrize(
    ("reported", "paid"),
    [
        ({"cache_read_input_tokens": 1000}, "1.1"),
        ({"cache_creation_input_tokens": 1000, "cache_creation": SHORT}, "1.35"),
        ({"cache_creation_input_tokens": 1000, "cache_creation": MIXED}, "1.65"),
        ({"cache_creation_input_tokens": 1000}, "2.1"),
    ],
    ids=["read", "minutes", "minutes and an hour", "not reported"],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_is_written_to_anthropics_cache_costs_more(
    gateway: Running, upstream: FaultServer, reported: dict[str, Any], paid: str, *, streamed: bool
) -> None:
    """Input costs 1000 dollars a million here: a thousand tokens a dollar."""
    gateway.resources.provider("a", upstream.url, "m", kind="anthropic", price={"input": "1000", "output": "0"})
    usage = {"input_tokens": 100, "output_tokens": 7} | reported
    start = event("message_start", message=message(usage=usage))
    last = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
    upstream.plays(stream(start, last, event("message_stop")) if streamed else answer(200, message(usage=usage)))
    assert (await post(gateway, "/v1/messages", {"stream": streamed})).status_code == 200
    (row,) = await gateway.rows()
    assert (row["cost"], row["input_tokens"]) == (Decimal(paid), 1100)


@pytest.mark.parametrize(
    ("reported", "paid", "written"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 1000}}, "1", 5),
        ({"prompt_tokens_details": {"cache_write_tokens": 1000}}, "1.25", 5),
        ({"prompt_tokens_details": "odd"}, "1", 5),
        ({"total_tokens": 1200}, "1", 200),
    ],
    ids=["read", "written", "odd", "thought"],
)
async def test_what_is_written_to_openais_cache_costs_more(
    gateway: Running, upstream: FaultServer, reported: dict[str, Any], paid: str, written: int
) -> None:
    gateway.resources.provider("a", upstream.url, "m", price={"input": "1000", "output": "0"})
    counts = {"prompt_tokens": 1000, "completion_tokens": 5, "total_tokens": 1005} | reported
    upstream.plays(answer(200, completion(usage=counts)))
    assert (await post(gateway, "/v1/chat/completions", {})).status_code == 200
    (row,) = await gateway.rows()
    assert (row["cost"], row["output_tokens"]) == (Decimal(paid), written)


async def test_a_number_is_no_truth_value(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    refused = await post(gateway, "/v1/chat/completions", {"max_tokens": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed")
