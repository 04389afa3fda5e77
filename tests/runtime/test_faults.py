"""Faults of providers and clients: each run ends once, promptly, and says why."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from agentic_core import contract
from agentic_core.contract import RUN_PATH
from agentic_runtime.failures import model_failure
from agentic_runtime.tools import registry
from tests.requirements import requirement
from tests.runtime import harness
from tests.runtime.harness import Client, deltas, first_event, of, request, token
from tests.runtime.provider import Provider, Reply, anthropic_text, openai_calls, openai_pieces, openai_text
from tests.runtime.test_tools import Plugin
from tests.support.waiting import PATIENCE, until


def openai_error(message: str) -> list[bytes]:
    return [json.dumps({"error": {"message": message, "type": "x", "code": "x"}}).encode()]


def anthropic_error(message: str) -> list[bytes]:
    return [json.dumps({"type": "error", "error": {"type": "x", "message": message}}).encode()]


@requirement("error-handling")
@pytest.mark.parametrize(("wire", "body"), [("openai", openai_error), ("anthropic", anthropic_error)])
@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "model_failed"), (402, "model_failed"), (403, "model_not_allowed"), (404, "model_failed"),
     (429, "model_failed"), (500, "model_failed"), (503, "model_failed")],
)  # fmt: skip
async def test_the_gateways_errors(
    wire: str, body: Any, status: int, code: str, model: Provider, client: Client
) -> None:
    model.replies.append(Reply(body("Why it is so; key sk-abcdefghij123456 was used."), status=status))
    events = await client.run(request(wire=wire))
    error = of(events, "error")[0].error
    assert error.code == code
    assert error.message == "Why it is so; key *** was used."
    assert len(model.requests) == 1, "the gateway retries, the runtime does not"


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_an_error_that_is_not_json(wire: str, model: Provider, client: Client) -> None:
    model.replies.append(Reply([b"<html>bad gateway</html>"], status=502))
    error = of(await client.run(request(wire=wire)), "error")[0].error
    assert (error.code, error.message) == ("model_failed", "The model gateway answered 502.")


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_connection_that_breaks_in_the_middle(wire: str, model: Provider, client: Client) -> None:
    began = anthropic_text("so far").events[:3] if wire == "anthropic" else openai_pieces("so far")
    model.replies.append(Reply(began, breaks=True))
    events = await client.run(request(wire=wire))
    assert deltas(events) == "so far"
    assert of(events, "error")[0].error.code == "model_failed"


async def test_an_error_in_the_middle_of_a_stream(model: Provider, client: Client) -> None:
    broken = b"data: " + openai_error("The provider gave up.")[0] + b"\n\n"
    model.replies.append(Reply([*openai_pieces("so far"), broken]))
    events = await client.run(request())
    assert deltas(events) == "so far"
    assert of(events, "error")[0].error.message == "The provider gave up."


async def test_a_gateway_that_is_not_there(model: Provider) -> None:
    model.url = "http://127.0.0.1:1"
    async with harness.runtime(model) as client:
        error = of(await client.run(request()), "error")[0].error
    assert error.code == "model_failed"
    assert "connection to the model gateway failed" in error.message


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_the_gateways_count_of_the_run_is_the_runs_limit(wire: str, model: Provider, client: Client) -> None:
    refusal = {"message": "The run may use 1000 tokens.", "code": "max_tokens_exceeded", "type": "billing_error"}
    model.replies.append(Reply([json.dumps({"type": "error", "error": refusal}).encode()], status=402))
    error = of(await client.run(request(wire=wire)), "error")[0].error
    assert (error.code, error.message) == ("max_tokens_exceeded", "The run may use 1000 tokens.")


def test_a_long_message_is_cut() -> None:
    error = model_failure(type("E", (Exception,), {"status_code": 500, "body": {"message": "x" * 9999}})())
    assert len(error.error.message) == 500


async def leave_after_first_line(client: Client, body: dict[str, Any]) -> None:
    """Starts a run, reads one line and closes the connection."""
    headers = {"Authorization": f"Bearer {token()}"}
    async with client.http.stream("POST", RUN_PATH, json=body, headers=headers) as answer:
        await first_event(answer.aiter_lines())


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_leaving_reaches_the_provider(wire: str, model: Provider, client: Client) -> None:
    began = anthropic_text("so far").events[:3] if wire == "anthropic" else openai_pieces("so far")
    model.replies.append(Reply(began, hang=True))
    await leave_after_first_line(client, request(wire=wire))
    await asyncio.wait_for(model.left.wait(), PATIENCE)
    await outcome(client, "cancelled")


async def outcome(client: Client, name: str) -> None:
    """Waits until a run is counted under this outcome."""

    async def counted() -> bool:
        return f'runs_total{{outcome="{name}"}} 1.0' in (await client.http.get("/metrics")).text

    await until(counted, f"a run that is {name}")


async def test_leaving_reaches_a_running_tool(model: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = asyncio.Event()

    async def work(_context: Any) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    monkeypatch.setattr(registry, "installed", lambda: {"slow": Plugin("slow", work)})
    model.replies.append(openai_calls(("c1", "slow", "{}"), text="wait"))
    async with harness.runtime(model) as client:
        headers = {"Authorization": f"Bearer {token()}"}
        async with client.http.stream("POST", RUN_PATH, json=request(tools=["slow"]), headers=headers) as answer:
            async for line in answer.aiter_lines():
                if '"tool.call"' in line:
                    break
        await asyncio.wait_for(stopped.wait(), PATIENCE)
        await outcome(client, "cancelled")


async def test_silence_is_filled(model: Provider) -> None:
    model.replies.append(Reply(openai_pieces("so far"), hang=True))
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        harness.runtime(model, keepalive_seconds=0.05) as client,
        client.http.stream("POST", RUN_PATH, json=request(), headers=headers) as answer,
    ):
        lines = answer.aiter_lines()
        assert (await first_event(lines))["text"] == "so far"
        async with asyncio.timeout(PATIENCE):
            assert [await anext(lines) for _ in range(3)] == [""] * 3


async def test_a_slow_reader_gets_everything(model: Provider, client: Client) -> None:
    model.replies.append(openai_text(*["x" * 10_000] * 300))
    headers = {"Authorization": f"Bearer {token()}"}
    body = request(limits={"maxTokens": 10_000_000}, maxOutputTokens=1_000_000)
    size = 0
    async with client.http.stream("POST", RUN_PATH, json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            await asyncio.sleep(0.001)
            event = json.loads(line or "{}")
            size += len(event.get("text", ""))
    assert size == 3_000_000
    assert event["type"] == "final"


@pytest.mark.slow
async def test_two_hundred_runs_at_once(model: Provider, client: Client) -> None:
    model.default = openai_text("Hello", " you")
    limits = httpx2.Limits(max_connections=200)

    async def one(number: int) -> list[contract.Event]:
        identity = f"run-{number}"
        headers = {"Authorization": f"Bearer {token(run_id=identity)}"}
        answer = await http.post(RUN_PATH, json={**request(), "run_id": identity}, headers=headers)
        return harness.parse(answer.content)

    async with httpx2.AsyncClient(base_url=client.http.base_url, limits=limits, timeout=60) as http:
        runs = await asyncio.gather(*(one(number) for number in range(200)))
    assert all(deltas(events) == of(events, "final")[0].output == "Hello you" for events in runs)


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_call_that_the_gateway_has_no_room_for_is_sent_again(
    wire: str, model: Provider, client: Client
) -> None:
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "busy", "code": "gateway_busy"}}
    model.replies.append(Reply([json.dumps(error).encode()], status=429))
    model.replies.append(anthropic_text("done") if wire == "anthropic" else openai_text("done"))
    assert of(await client.run(request(wire=wire)), "final")[0].output == "done"
    assert len(model.requests) == 2
