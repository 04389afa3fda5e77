"""Every answer is charged, however it ends: row 17 of the platform's conformance table."""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.gateway import support
from tests.gateway.faults import (
    DONE,
    FaultServer,
    Request,
    answer,
    completion,
    delta,
    silence,
    stream,
    usage,
)
from tests.gateway.support import Running
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

ASK: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "q" * 396}]
"""99 tokens, one for the role and 4 around the message, by our estimate."""
ASKED = 104
COUNTED = "agentic_gateway_requests_total"
LABELS = {"operation": "chat", "provider": "openaiCompatible", "model": "other"}


def provide(gateway: Running, upstream: FaultServer, *names: str) -> openai.AsyncOpenAI:
    """Providers with the one upstream, each with the model `m`."""
    for name in names:
        gateway.resources.provider(name, f"{upstream.url}/{name}", "m")
    return gateway.openai(*(f"{name}/m" for name in names))


async def test_row_17_a_stream_whose_caller_leaves_is_charged_and_its_provider_is_told(
    gateway: Running, upstream: FaultServer
) -> None:
    client = provide(gateway, upstream, "a")
    upstream.plays(stream(delta("x" * 40), delta("y" * 40), hang=True))
    answered = await client.chat.completions.create(model="a/m", messages=ASK, stream=True)
    seen = 0
    async for chunk in answered:
        seen += len(chunk.choices[0].delta.content or "")
        if seen == 80:
            break
    await answered.close()
    (row,) = await gateway.rows_soon(1)
    assert (row["status"], row["estimated"]) == ("cancelled", True)
    assert (row["input_tokens"], row["output_tokens"]) == (ASKED, 20)
    assert row["cost"] == (ASKED * 2 + 20 * 8) / Decimal(1_000_000)
    await asyncio.wait_for(upstream.left.wait(), PATIENCE)


async def test_row_17_a_call_whose_caller_leaves_before_the_answer_is_charged(
    gateway: Running, upstream: FaultServer
) -> None:
    client = provide(gateway, upstream, "a")
    upstream.plays(silence)
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.5).chat.completions.create(model="a/m", messages=ASK)
    (row,) = await gateway.rows_soon(1)
    assert (row["status"], row["estimated"], row["input_tokens"], row["output_tokens"]) == ("cancelled", True, ASKED, 0)
    await asyncio.wait_for(upstream.left.wait(), PATIENCE)


@pytest.mark.parametrize("ended", [True, False], ids=["ended too early", "broken off"])
async def test_row_17_a_stream_that_its_provider_breaks_off_is_charged(
    gateway: Running, upstream: FaultServer, *, ended: bool
) -> None:
    client = provide(gateway, upstream, "a")
    upstream.plays(stream(delta("x" * 40), end=ended))
    answered = await client.chat.completions.create(model="a/m", messages=ASK, stream=True)
    with pytest.raises(openai.APIError, match="broke its stream off"):
        async for _ in answered:
            pass
    (row,) = await gateway.rows()
    assert (row["status"], row["estimated"]) == ("broken", True)
    assert (row["input_tokens"], row["output_tokens"]) == (ASKED, 10)


async def test_row_17_an_answer_that_breaks_off_is_charged_and_tried_again(
    gateway: Running, upstream: FaultServer
) -> None:
    client = provide(gateway, upstream, "a")
    upstream.plays(answer(200, b'{"choices": [', content_length="500"), answer(200, completion()))
    found = await client.chat.completions.create(model="a/m", messages=ASK)
    assert found.choices[0].message.content == "Hello."
    first, second = await gateway.rows()
    assert (first["status"], first["estimated"], first["input_tokens"]) == ("broken", True, ASKED)
    assert (second["status"], second["estimated"], second["input_tokens"]) == ("completed", False, 10)


async def test_row_17_a_fallback_is_charged_under_the_model_that_answered(
    gateway: Running, upstream: FaultServer
) -> None:
    gateway.resources.provider("a", f"{upstream.url}/a", "m", price={"input": "1", "output": "1"})
    gateway.resources.provider("b", f"{upstream.url}/b", "n", price={"input": "100", "output": "100"})
    upstream.plays(answer(429, {}), answer(200, completion()))
    client = gateway.openai("a/m", "b/n")
    await client.chat.completions.create(model="a/m", messages=ASK)
    (row,) = await gateway.rows()
    assert (row["provider"], row["model"], row["cost"]) == ("b", "n", Decimal("0.0015"))


async def test_row_17_embeddings_are_charged(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a")
    vectors = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
    upstream.plays(answer(200, vectors | {"usage": {"prompt_tokens": 123, "total_tokens": 123}}))
    await client.embeddings.create(model="a/m", input="text")
    (row,) = await gateway.rows()
    assert (row["operation"], row["input_tokens"], row["cost"]) == ("embeddings", 123, Decimal("0.000246"))


async def test_usage_that_no_column_holds_keeps_no_other_from_being_charged(
    gateway: Running, upstream: FaultServer
) -> None:
    gateway.resources.provider("a", upstream.url, "m", price={"input": "999999999", "output": "999999999"})
    client = gateway.openai("a/m", token=gateway.token("a/m", max_tokens=10**9))
    absurd = {"prompt_tokens": 10**18, "completion_tokens": 10**18, "total_tokens": 0}
    usual = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    upstream.plays(answer(200, completion(usage=absurd)), answer(200, completion(usage=usual)))
    for _ in range(2):
        await client.chat.completions.create(model="a/m", messages=ASK)
    counts = [(row["input_tokens"], row["output_tokens"]) for row in await gateway.rows()]
    assert counts == [(100_000_000, 100_000_000), (1, 2)]


async def test_a_provider_that_tells_no_usage_is_charged_by_estimate(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a")
    upstream.plays(answer(200, completion("z" * 200, usage=None)), stream(delta("z" * 200), DONE))
    await client.chat.completions.create(model="a/m", messages=ASK)
    async for _ in await client.chat.completions.create(model="a/m", messages=ASK, stream=True):
        pass
    for row in await gateway.rows():
        assert (row["status"], row["estimated"]) == ("completed", True)
        assert (row["input_tokens"], row["output_tokens"]) == (ASKED, 50)


async def test_usage_beside_the_last_choice_is_counted_and_passed_on(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a")
    last = delta("!", usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
    upstream.plays(stream(delta("Hello"), last, DONE))
    answered = await client.chat.completions.create(model="a/m", messages=ASK, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in answered])
    assert text == "Hello!"
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == (7, 3, False)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("end", [DONE, b"data: [DONE]\n", b"data: [DONE]"], ids=["", "short", "shortest"])
async def test_events_may_be_cut_anywhere(gateway: Running, upstream: FaultServer, newline: bytes, end: bytes) -> None:
    client = provide(gateway, upstream, "a")
    events = delta("Hel") + delta("lo [DONE] ") + delta("größer") + usage(7, 3) + end
    events = events.replace(b"\n", newline)
    upstream.plays(stream(*(events[at : at + 1] for at in range(len(events)))))
    answered = await client.chat.completions.create(model="a/m", messages=ASK, stream=True)
    chunks = [chunk async for chunk in answered]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello [DONE] größer"
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["output_tokens"], row["status"]) == (7, 3, "completed")


async def test_headers_in_any_letters_keep_no_stream_from_being_charged(
    gateway: Running, upstream: FaultServer
) -> None:
    client = provide(gateway, upstream, "a")
    whole = stream(delta("Hello"), usage(7, 3), DONE)

    async def odd(request: Request) -> AsyncGenerator[bytes]:
        async for piece in whole(request):
            yield piece.replace(b"200 OK\r\n", b"200 OK\r\nx-request-id: \xe2\x82\xac\r\n")

    upstream.plays(odd)
    async for _ in await client.chat.completions.create(model="a/m", messages=ASK, stream=True):
        pass
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["output_tokens"], row["status"]) == (7, 3, "completed")


async def test_text_that_looks_like_usage_is_not_believed(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a")
    forged = '"usage":{"prompt_tokens":1,"completion_tokens":1}'
    upstream.plays(stream(delta(forged), usage(700, 300), DONE))
    async for _ in await client.chat.completions.create(model="a/m", messages=ASK, stream=True):
        pass
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["output_tokens"]) == (700, 300)


async def test_a_server_that_streams_nothing_though_asked_to_is_passed_on(
    gateway: Running, upstream: FaultServer
) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    upstream.plays(answer(200, completion()))
    raw = gateway.openai("a/m").chat.completions.with_raw_response
    found = await raw.create(model="a/m", messages=ASK, stream=True)
    assert found.headers["content-type"] == "application/json"
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["estimated"]) == (10, False)


async def test_an_answer_of_another_kind_is_passed_on_and_charged(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    upstream.plays(answer(200, b"<html>hi</html>" * 4, content_type="text/html"))
    found = await gateway.openai("a/m").chat.completions.with_raw_response.create(model="a/m", messages=ASK)
    assert (found.headers["content-type"], found.text) == ("text/html", "<html>hi</html>" * 4)
    (row,) = await gateway.rows()
    assert (row["output_tokens"], row["estimated"]) == (15, True)


async def test_a_stream_whose_connection_stays_open_has_ended_with_its_last_event(
    gateway: Running, upstream: FaultServer
) -> None:
    """What the call had set aside is free before the caller can ask again, and nobody is said to have left."""
    gateway.resources.provider("a", upstream.url, "m")
    client = gateway.openai("a/m", token=gateway.token("a/m", max_tokens=1000))
    upstream.plays(stream(delta("Hi."), usage(100, 5), DONE, hang=True))
    for _ in range(2):
        async for _ in await client.chat.completions.create(model="a/m", messages=ASK, stream=True):
            pass
    assert [request.body["max_tokens"] for request in upstream.requests] == [896, 791]
    async with asyncio.timeout(PATIENCE):
        while gateway.context.metrics.registry.get_sample_value(COUNTED, LABELS | {"status": "200"}) != 2:
            await asyncio.sleep(0.01)
    assert gateway.context.metrics.registry.get_sample_value(COUNTED, LABELS | {"status": "499"}) is None


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
async def test_usage_is_read_from_responses_of_too_many_values_to_be_parsed(
    gateway: Running, upstream: FaultServer, *, first: bool
) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    counted = {"usage": {"prompt_tokens": 700, "total_tokens": 700, "prompt_tokens_details": {"cached_tokens": 0}}}
    data = {"data": [{"embedding": [0.5] * 300_000, "index": 0}]}
    upstream.plays(answer(200, counted | data if first else data | counted))
    raw = gateway.openai("a/m").embeddings.with_raw_response
    found = await raw.create(model="a/m", input="Hi", encoding_format="float")
    assert len(found.content) > 1_000_000
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["estimated"]) == (700, False)


async def test_an_event_without_an_end_breaks_the_stream(
    postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer
) -> None:
    async with support.gateway(postgres, tmp_path, max_event_bytes=200_000) as gateway:
        gateway.resources.provider("a", upstream.url, "m")
        upstream.plays(stream(delta("Hello"), b"data: " + b"x" * 300_000, hang=True))
        with pytest.raises(openai.APIError, match="broke its stream off"):
            async for _ in await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK, stream=True):
                pass
        assert gateway.context.flow.shares.held_bytes() == {"request": 0, "response": 0}
