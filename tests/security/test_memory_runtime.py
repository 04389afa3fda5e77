"""A runtime serves all agents of a namespace: no provider and no run takes its memory or its event loop from them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from agentic_core.contract import RUN_PATH
from tests.runtime.conftest import model
from tests.runtime.harness import first_event, headers_of, parse, request
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
from tests.runtime.test_process import Process, started
from tests.security.measure import MIB, peak
from tests.support.waiting import LONG

__all__ = ["model"]

pytestmark = pytest.mark.slow

LIMIT = 512
"""MiB that the chart gives a runtime."""


def tool_calls(count: int, *, first: int = 0, **function: str) -> bytes:
    """An event with so many tool calls."""
    made = {"name": "calculator", "arguments": ""} | function
    calls = [{"index": i, "id": f"c{i}", "type": "function", "function": made} for i in range(first, first + count)]
    return (
        b"data: "
        + json.dumps({"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": calls}}]}).encode()
        + b"\n\n"
    )


def script(events: Iterator[bytes], *, hang: bool = False) -> Reply:
    """A reply whose events are made while they are sent."""
    return Reply(cast("list[bytes]", events), hang=hang)


async def run(runtime: Process, **definition: Any) -> Any:
    """The last event of a run."""
    body = request(tools=["calculator"], limits={"maxTokens": 1000}, **definition)
    response = await runtime.http.post(RUN_PATH, json=body, headers=headers_of())
    return parse(response.content)[-1]


async def warm(runtime: Process, model: Provider, wire: str) -> None:
    """The first run of a wire loads its SDK."""
    model.replies.append(anthropic_text("warm") if wire == "anthropic" else openai_text("warm"))
    assert (await run(runtime, wire=wire)).output == "warm"


async def test_a_flood_of_empty_tool_calls_ends_the_run_and_not_the_runtime(model: Provider) -> None:
    model.replies.append(script(tool_calls(500, first=n) for n in range(0, 1_200_000, 500)))
    async with started(model) as runtime:
        ended = await run(runtime)
        assert ended.error.message.startswith("The model's response has more than 128 tool calls")
        model.replies.append(openai_text("still here"))
        again = await run(runtime)
        assert again.type == "final", again
        assert peak(runtime.process.pid) < LIMIT / 2


async def test_chunks_that_say_nothing_are_not_kept(model: Provider) -> None:
    empty = b'data: {"id": "x", "choices": [{"index": 0, "delta": {}}]}\n\n'
    async with started(model) as runtime:
        await warm(runtime, model, "openai")
        before = peak(runtime.process.pid)
        model.replies.append(Reply([*[empty * 100] * 200, *openai_pieces("ok"), *openai_end("stop")]))
        assert (await run(runtime)).output == "ok"
        assert peak(runtime.process.pid) < before + 30


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_arguments_that_are_no_json_do_not_hold_the_event_loop(model: Provider, wire: str) -> None:
    """A parser that looks for a prefix that is JSON takes minutes for them."""
    calls = anthropic_calls if wire == "anthropic" else openai_calls
    broken = '{"a": ' + "1 " * 200_000
    async with started(model) as runtime:
        await warm(runtime, model, wire)
        model.replies.extend([calls(("c1", "calculator", broken)), calls(("c2", "calculator", "{}"))])
        running = asyncio.create_task(run(runtime, wire=wire))
        slowest = 0.0
        loop = asyncio.get_running_loop()
        while not running.done():
            asked = loop.time()
            assert await runtime.ready()
            slowest = max(slowest, loop.time() - asked)
        assert (await running).error.code == "max_tokens_exceeded"
        assert slowest < 3


@pytest.mark.parametrize("message_bytes", [1_000_000, 4_000], ids=["long messages", "many messages"])
async def test_histories_of_many_runs_at_once_fit_into_the_runtime(model: Provider, message_bytes: int) -> None:
    """Those that do not are refused as not begun, which the api sends again."""
    history = ["word " * (message_bytes // 5)] * (8 * MIB // message_bytes) + ["and now?"]
    body = json.dumps(request(*history, limits={"maxTokens": 100_000_000})).encode()
    answered: list[int] = []

    async def one(runtime: Process) -> None:
        async with runtime.http.stream("POST", RUN_PATH, content=body, headers=headers_of()) as response:
            answered.append(response.status_code)
            if len(answered) == 20:
                everyone_answered.set()
            if response.status_code == 200:
                await first_event(response.aiter_lines())
                await everyone_answered.wait()
            else:
                refusal = json.loads(await response.aread())
                assert (response.status_code, refusal["code"]) == (503, "runtime_busy")

    everyone_answered = asyncio.Event()
    model.default = Reply(openai_pieces("so"), hang=True)
    async with started(model, AGENTIC_SHARE_WAIT_SECONDS="1") as runtime:
        await warm(runtime, model, "openai")
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(one(runtime))
        assert peak(runtime.process.pid) < LIMIT
        assert answered.count(200) >= 3
        model.default = openai_text("goes on")
        assert (await run(runtime)).output == "goes on", "permits come back"


async def test_a_run_request_of_too_many_values_is_not_parsed(model: Provider) -> None:
    body = b'{"messages": [' + b"[]," * 3_000_000 + b"0]}"
    async with started(model) as runtime:
        before = peak(runtime.process.pid)
        response = await runtime.http.post(RUN_PATH, content=body, headers=headers_of())
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
        assert peak(runtime.process.pid) < before + 50
