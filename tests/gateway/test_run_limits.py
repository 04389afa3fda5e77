"""The token limit of a run and its end, held against runtimes that respect neither."""

import asyncio
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID, uuid4

import anthropic
import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from agentic_gateway.reserve.run_balances import RunWatch
from tests.gateway import support
from tests.gateway.faults import FaultServer, answer, completion, delta, stream
from tests.gateway.support import TENANT_ID, Running
from tests.requirements import requirement
from tests.support import runs
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

NEVER_FRESH = {"run_watch": RunWatch(fresh_seconds=-1)}
"""The database is queried before each call."""
QUESTION = "q" * 396
ASK: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": QUESTION}]
"""104 tokens, by our estimate."""


class Lengths(TypedDict, total=False):
    """How long an answer may be, by each of the names that OpenAI gives it."""

    max_tokens: int
    max_completion_tokens: int


def used(prompt: int, written: int) -> dict[str, Any]:
    """A whole answer that used so much."""
    return completion(usage={"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written})


def limited(gateway: Running, upstream: FaultServer, most: int, **claims: Any) -> openai.AsyncOpenAI:
    """A client of a run that may use so many tokens."""
    gateway.resources.provider("a", upstream.url, "m")
    gateway.resources.provider("o", upstream.url, "m", kind="openai")
    return gateway.openai("a/m", "o/m", token=gateway.token("a/m", "o/m", max_tokens=most, **claims))


@requirement("agent-definition")
async def test_a_run_that_has_used_its_tokens_gets_no_more(gateway: Running, upstream: FaultServer) -> None:
    client = limited(gateway, upstream, 1000)
    upstream.plays(answer(200, used(400, 300)))
    for _ in range(2):
        await client.chat.completions.create(model="a/m", messages=ASK, max_tokens=10)
    for _ in range(2):
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model="a/m", messages=ASK, max_tokens=10)
        assert refused.value.status_code == 402
        assert (refused.value.code, refused.value.type) == ("max_tokens_exceeded", "insufficient_quota")
    with pytest.raises(openai.APIStatusError, match=r"limits\.maxTokens"):
        await client.embeddings.create(model="a/m", input=[1, 2, 3])
    assert len(upstream.requests) == 2


@requirement("agent-definition")
async def test_anthropics_wire_says_it_in_its_own_words(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("claude", upstream.url, "m", kind="anthropic")
    async with httpx2.AsyncClient(base_url=gateway.url) as client:
        headers = {"x-api-key": gateway.token("claude/m", max_tokens=50)}
        body = {"model": "claude/m", "max_tokens": 10, "messages": ASK}
        refused = await client.post("/v1/messages", json=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["type"]) == (402, "billing_error")


@requirement("agent-definition")
@pytest.mark.parametrize(
    ("model", "requested", "sent"),
    [
        ("a/m", {"max_tokens": 50}, {"max_tokens": 50}),
        ("a/m", {"max_tokens": 5000}, {"max_tokens": 896}),
        ("o/m", {"max_completion_tokens": 10**12}, {"max_completion_tokens": 896}),
        ("a/m", {"max_tokens": 5000, "max_completion_tokens": 70}, {"max_tokens": 70, "max_completion_tokens": 70}),
        ("a/m", {}, {"max_tokens": 896}),
        ("o/m", {}, {"max_completion_tokens": 896}),
    ],
    ids=range(6),
)
async def test_an_answer_may_be_as_long_as_what_is_left(
    gateway: Running, upstream: FaultServer, model: str, requested: Lengths, sent: Lengths
) -> None:
    client = limited(gateway, upstream, 1000)
    upstream.plays(answer(200, completion()))
    await client.chat.completions.create(model=model, messages=ASK, **requested)
    body = upstream.requests[0].body
    assert {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body} == sent


@requirement("agent-definition")
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n_predict", "max_new_tokens"])
@pytest.mark.parametrize("value", [0, -1])
async def test_no_number_means_that_there_is_no_limit(
    gateway: Running, upstream: FaultServer, name: str, value: int
) -> None:
    """Servers that are compatible with OpenAI's take such numbers so."""
    client = limited(gateway, upstream, 1000)
    upstream.plays(answer(200, completion()))
    with pytest.raises(openai.BadRequestError, match=name):
        await client.chat.completions.create(model="a/m", messages=ASK, extra_body={name: value})
    assert upstream.requests == []


async def test_what_is_left_bounds_answers_on_anthropics_wire_too(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("claude", upstream.url, "m", kind="anthropic")
    token = gateway.token("claude/m", max_tokens=1000)
    upstream.plays(answer(500, {}))
    client = gateway.anthropic(bearer=token)
    with pytest.raises(anthropic.InternalServerError):
        await client.messages.create(
            model="claude/m", max_tokens=5000, messages=[{"role": "user", "content": QUESTION}]
        )
    assert {request.body["max_tokens"] for request in upstream.requests} == {896}


@requirement("agent-definition")
async def test_calls_at_once_share_what_is_left(gateway: Running, upstream: FaultServer) -> None:
    """Fifty calls of 304 tokens each: the run may use 1000, so three get through, and all others are refused."""
    client = limited(gateway, upstream, 1000)
    release = asyncio.Event()

    async def waits(request: Any) -> Any:
        await release.wait()
        async for piece in answer(200, used(104, 200))(request):
            yield piece

    upstream.plays(waits)

    async def call() -> int:
        try:
            await client.chat.completions.create(model="a/m", messages=ASK, max_tokens=200)
        except openai.APIStatusError as refused:
            return refused.status_code
        return 200

    calls = [asyncio.create_task(call()) for _ in range(50)]
    async with asyncio.timeout(PATIENCE):
        while sum(one.done() for one in calls) < 47:
            await asyncio.sleep(0.01)
    release.set()
    assert sorted(await asyncio.gather(*calls)) == [200] * 3 + [402] * 47
    assert sum(row["input_tokens"] + row["output_tokens"] for row in await gateway.rows()) == 912


@requirement("agent-definition")
async def test_what_failed_calls_set_aside_comes_back(gateway: Running, upstream: FaultServer) -> None:
    client = limited(gateway, upstream, 1000)
    upstream.plays(answer(400, {"error": {}}), answer(400, {"error": {}}), answer(200, completion()))
    for _ in range(2):
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="a/m", messages=ASK, max_tokens=896)
    await client.chat.completions.create(model="a/m", messages=ASK, max_tokens=896)


@requirement("agent-definition", "stateless")
async def test_replicas_know_of_each_others_calls(
    postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer
) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    upstream.plays(answer(200, used(500, 400)))
    async with (
        support.gateway(postgres, folders[0], parts=NEVER_FRESH) as first,
        support.gateway(postgres, folders[1], parts=NEVER_FRESH) as second,
    ):
        await limited(first, upstream, 1000).chat.completions.create(model="a/m", messages=ASK, max_tokens=10)
        client = limited(second, upstream, 1000, run_id=first.run_id)
        with pytest.raises(openai.APIStatusError, match="about 100 left"):
            await client.chat.completions.create(model="a/m", messages=ASK, max_tokens=10)


@pytest.mark.parametrize("statement", [runs.CANCEL, runs.END], ids=["cancelled", "ended"])
async def test_a_run_that_has_ended_calls_no_more(gateway: Running, upstream: FaultServer, statement: str) -> None:
    client = limited(gateway, upstream, 10_000)
    upstream.plays(answer(200, completion()))
    await client.chat.completions.create(model="a/m", messages=ASK)
    await runs.execute(gateway.dsn, statement, TENANT_ID, UUID(gateway.run_id))
    for _ in range(3):
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.chat.completions.create(model="a/m", messages=ASK)
        assert refused.value.code == "run_ended"
    assert len(upstream.requests) == 2, "one within the seconds in which what is known is believed, and no more"


async def test_a_run_that_ended_while_it_was_silent_calls_no_more(
    postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer
) -> None:
    async with support.gateway(postgres, tmp_path, parts=NEVER_FRESH) as gateway:
        client = limited(gateway, upstream, 10_000)
        await runs.execute(gateway.dsn, runs.END, TENANT_ID, UUID(gateway.run_id))
        for other in (client, limited(gateway, upstream, 10_000, run_id=str(uuid4()))):
            with pytest.raises(openai.AuthenticationError):
                await other.chat.completions.create(model="a/m", messages=ASK)
    assert upstream.requests == []


async def test_a_call_is_cut_when_its_run_ends(
    postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer
) -> None:
    watched = {"run_watch": RunWatch(interval_seconds=0.05)}
    async with support.gateway(postgres, tmp_path, parts=watched) as gateway:
        client = limited(gateway, upstream, 10_000)
        upstream.plays(stream(delta("x" * 40), hang=True))
        answered = await client.chat.completions.create(model="a/m", messages=ASK, stream=True)
        await anext(aiter(answered))
        await runs.execute(gateway.dsn, runs.CANCEL, TENANT_ID, UUID(gateway.run_id))
        with pytest.raises(openai.APIError, match="has ended"):
            await asyncio.wait_for(rest(answered), PATIENCE)
        (row,) = await gateway.rows_soon(1)
        assert (row["status"], row["output_tokens"]) == ("cancelled", 10)
        await asyncio.wait_for(upstream.left.wait(), PATIENCE)


async def rest(answered: openai.AsyncStream[Any]) -> None:
    """Read to the end."""
    async for _ in answered:
        pass
