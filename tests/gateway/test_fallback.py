"""Retries, fallbacks and circuits, seen from the caller: row 21 of the platform's conformance table among them."""

import asyncio
import time
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.gateway import support
from tests.gateway.faults import DONE, FaultServer, Script, answer, completion, delta, silence, slam, stream, usage
from tests.gateway.support import Running
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

ASK: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello?"}]


def provide(gateway: Running, upstream: FaultServer, *names: str) -> openai.AsyncOpenAI:
    """Providers with the one upstream, each with the model `m`."""
    for name in names:
        gateway.resources.provider(name, f"{upstream.url}/{name}", "m")
    return gateway.openai(*(f"{name}/m" for name in names))


async def answered_at_last(client: openai.AsyncOpenAI) -> None:
    """Asks until there is an answer."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.chat.completions.create(model="a/m", messages=ASK)
            except openai.InternalServerError:
                continue
            return


async def finished(client: openai.AsyncOpenAI, *, streamed: bool) -> None:
    """Asks, and reads the answer to its end."""
    answered = await client.chat.completions.create(model="a/m", messages=ASK, stream=streamed)
    if isinstance(answered, openai.AsyncStream):
        async for _ in answered:
            pass


def asked(upstream: FaultServer) -> list[str]:
    """Which providers were called, in order."""
    return [request.path.split("/")[1] for request in upstream.requests]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_row_21_a_retried_429_goes_to_the_next_backend(
    gateway: Running, upstream: FaultServer, *, streamed: bool
) -> None:
    client = provide(gateway, upstream, "a", "b")
    good = stream(delta("Hello."), usage(1, 1), DONE) if streamed else answer(200, completion())
    upstream.plays(answer(429, {}, retry_after="20"), good)
    started = time.monotonic()
    if streamed:
        answered = await client.chat.completions.create(model="a/m", messages=ASK, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in answered])
    else:
        text = (await client.chat.completions.create(model="a/m", messages=ASK)).choices[0].message.content or ""
    assert text == "Hello."
    assert asked(upstream) == ["a", "b"]
    assert time.monotonic() - started < 15, "no call waits for the one that is limited"
    (row,) = await gateway.rows()
    assert row["provider"] == "b"


async def test_a_lone_backend_is_tried_again_when_it_asked_to_be(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a")
    upstream.plays(answer(429, {}, retry_after="1"), answer(200, completion()))
    started = time.monotonic()
    await client.chat.completions.create(model="a/m", messages=ASK)
    assert time.monotonic() - started >= 1
    assert asked(upstream) == ["a", "a"]


async def test_who_is_limited_for_long_is_told_when_to_come_back(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a")
    upstream.plays(answer(429, {}, retry_after="120"))
    with pytest.raises(openai.RateLimitError) as error:
        await client.chat.completions.create(model="a/m", messages=ASK)
    assert error.value.response.headers["retry-after"] == "120"
    assert asked(upstream) == ["a"], "waiting for it would take longer than anyone waits"


@pytest.mark.parametrize(
    "fault", [answer(500, {}), answer(529, {}), slam, stream()], ids=["500", "529", "slam", "empty"]
)
async def test_a_failing_backend_is_tried_again_before_the_next(
    gateway: Running, upstream: FaultServer, fault: Script
) -> None:
    client = provide(gateway, upstream, "a", "b")
    upstream.plays(fault, fault, answer(200, completion()))
    await client.chat.completions.create(model="a/m", messages=ASK)
    assert asked(upstream) == ["a", "a", "b"]


async def test_an_unreachable_backend_falls_back(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a", "b")
    gateway.resources.provider("a", "http://127.0.0.1:9", "m")
    upstream.plays(answer(200, completion()))
    await client.chat.completions.create(model="a/m", messages=ASK)
    assert asked(upstream) == ["b"]


async def test_fallbacks_follow_the_tokens_order_from_the_model_on(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a", "b", "c")
    gateway.resources.tenant(allowed=["a/*", "b/*", "c/*"])
    upstream.plays(answer(401, {}), answer(200, completion()))
    await client.chat.completions.create(model="b/m", messages=ASK)
    assert asked(upstream) == ["b", "c"], "never back to those before it"


async def test_a_fallback_that_is_not_allowed_is_left_out(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a", "b", "c")
    gateway.resources.tenant(allowed=["a/*", "c/*"])
    upstream.plays(answer(401, {}), answer(200, completion()))
    await client.chat.completions.create(model="a/m", messages=ASK)
    assert asked(upstream) == ["a", "c"]


async def test_embeddings_have_no_fallback(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a", "b")
    upstream.plays(answer(500, {}))
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="a/m", input="text")
    assert asked(upstream) == ["a", "a"], "vectors of another model would be worse than none"


async def test_nothing_is_tried_again_once_a_byte_was_passed_on(gateway: Running, upstream: FaultServer) -> None:
    client = provide(gateway, upstream, "a", "b")
    upstream.plays(stream(delta("Hel"), end=False), answer(200, completion()))
    with pytest.raises(openai.APIError):
        async for _ in await client.chat.completions.create(model="a/m", messages=ASK, stream=True):
            pass
    assert asked(upstream) == ["a"]


async def test_a_circuit_opens_and_closes(postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer) -> None:
    async with support.gateway(postgres, tmp_path, circuit_failures=2, circuit_seconds=0.5) as gateway:
        client = provide(gateway, upstream, "a")
        upstream.plays(answer(500, {}))
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(model="a/m", messages=ASK)
        assert failed.value.status_code == 502
        with pytest.raises(openai.InternalServerError) as unavailable:
            await client.chat.completions.create(model="a/m", messages=ASK)
        assert (unavailable.value.status_code, unavailable.value.code) == (503, "provider_unavailable")
        assert "last it answered 500" in unavailable.value.message
        assert len(upstream.requests) == 2, "an open circuit spares the provider"
        upstream.plays(answer(200, completion()))
        await answered_at_last(client)
        await client.chat.completions.create(model="a/m", messages=ASK)


async def test_a_silent_provider_is_given_up(postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer) -> None:
    async with support.gateway(postgres, tmp_path, silence_seconds=0.3, attempts=1) as gateway:
        client = provide(gateway, upstream, "a", "b")
        upstream.plays(silence, answer(200, completion()))
        await client.chat.completions.create(model="a/m", messages=ASK)
        assert asked(upstream) == ["a", "b"]
        broken, completed = await gateway.rows()
        assert (broken["provider"], broken["status"]) == ("a", "broken"), "it had the whole request, and may bill it"
        assert (completed["provider"], completed["status"]) == ("b", "completed")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_request_has_a_deadline(
    postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer, *, streamed: bool
) -> None:
    async with support.gateway(postgres, tmp_path, request_seconds=0.4) as gateway:
        client = provide(gateway, upstream, "a")
        upstream.plays(stream(delta("Hel"), hang=True) if streamed else silence)
        with pytest.raises(openai.APIError, match="time for the request is over"):
            await finished(client, streamed=streamed)
        (row,) = await gateway.rows_soon(1)
        assert row["estimated"]
