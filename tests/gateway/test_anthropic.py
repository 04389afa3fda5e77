"""Anthropic's own client against the gateway, aimock behind it."""

from typing import Any

import anthropic
import pytest
from anthropic.types import Message, TextBlock, UserMessageParam

from tests.gateway.faults import FaultServer, answer, event, stream
from tests.gateway.support import Running
from tests.requirements import requirement

HELLO: list[UserMessageParam] = [{"role": "user", "content": "Say hello in French, please."}]
COUNTED: list[UserMessageParam] = [{"role": "user", "content": "usage"}]


def text(message: Message) -> str:
    """What a message says that is nothing but text."""
    (block,) = message.content
    assert isinstance(block, TextBlock)
    return block.text


def told(error: anthropic.APIStatusError) -> dict[str, Any]:
    """What an error says on this wire."""
    assert isinstance(error.body, dict)
    said: dict[str, Any] = error.body["error"]
    return said


@requirement("providers")
async def test_a_message_is_answered_and_charged(mocked: Running) -> None:
    client = mocked.anthropic("claude/gpt-mock")
    message = await client.messages.create(model="claude/gpt-mock", max_tokens=64, messages=COUNTED)
    assert text(message) == "Counted."
    (row,) = await mocked.rows()
    assert (row["provider"], row["input_tokens"], row["output_tokens"], row["estimated"]) == ("claude", 1200, 34, False)


@requirement("providers")
async def test_a_stream_is_passed_on_and_charged(mocked: Running) -> None:
    client = mocked.anthropic("claude/gpt-mock")
    async with client.messages.stream(model="claude/gpt-mock", max_tokens=64, messages=COUNTED) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert (text, final.usage.output_tokens) == ("Counted.", 34)
    (row,) = await mocked.rows()
    assert (row["input_tokens"], row["output_tokens"], row["status"]) == (1200, 34, "completed")


async def test_the_run_token_is_good_as_a_bearer_too(mocked: Running) -> None:
    client = mocked.anthropic(bearer=mocked.token("claude/gpt-mock"))
    message = await client.messages.create(model="claude/gpt-mock", max_tokens=64, messages=HELLO)
    assert text(message) == "Bonjour from the model."


async def test_models_of_the_run_are_listed(mocked: Running) -> None:
    client = mocked.anthropic("claude/gpt-mock")
    assert [model.id async for model in client.models.list()] == ["claude/gpt-mock"]


@requirement("error-handling")
async def test_errors_are_the_clients_typed_ones(mocked: Running) -> None:
    client = mocked.anthropic("claude/gpt-mock", "mock/gpt-mock", "claude/always-broken")
    with pytest.raises(anthropic.PermissionDeniedError) as denied:
        await client.messages.create(model="claude/other", max_tokens=64, messages=HELLO)
    assert told(denied.value)["code"] == "model_not_allowed"
    assert told(denied.value)["type"] == "permission_error"
    with pytest.raises(anthropic.BadRequestError, match="not called through"):
        await client.messages.create(model="mock/gpt-mock", max_tokens=64, messages=HELLO)
    with pytest.raises(anthropic.InternalServerError) as failed:
        await client.messages.create(model="claude/always-broken", max_tokens=64, messages=HELLO)
    assert told(failed.value)["code"] == "provider_failed"


async def test_tokens_of_the_prompt_cache_count_as_input(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("claude", upstream.url, "sonnet", kind="anthropic")
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "sonnet", "content": []}
    upstream.plays(answer(200, message | {"stop_reason": "end_turn", "usage": usage | {"output_tokens": 7}}))
    client = gateway.anthropic("claude/sonnet")
    await client.messages.create(
        model="claude/sonnet", max_tokens=64, messages=HELLO, extra_headers={"anthropic-beta": "some-beta"}
    )
    (row,) = await gateway.rows()
    assert (row["input_tokens"], row["output_tokens"]) == (3210, 7)
    sent = upstream.requests[0].headers
    assert (sent["x-api-key"], sent["anthropic-beta"]) == ("sk-of-the-provider", "some-beta")
    assert "authorization" not in sent


async def test_a_broken_stream_raises_the_clients_error_and_is_charged(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("claude", upstream.url, "sonnet", kind="anthropic")
    message = {"id": "m", "type": "message", "role": "assistant", "model": "sonnet", "content": []}
    start = event("message_start", message=message | {"usage": {"input_tokens": 321, "output_tokens": 1}})
    block = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    text = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 400})
    upstream.plays(stream(start, block, text, end=False))
    client = gateway.anthropic("claude/sonnet")
    with pytest.raises(anthropic.APIStatusError, match="broke its stream off"):
        async with client.messages.stream(model="claude/sonnet", max_tokens=64, messages=HELLO) as broken:
            assert len("".join([piece async for piece in broken.text_stream])) == 400
    (row,) = await gateway.rows()
    assert (row["status"], row["estimated"], row["input_tokens"], row["output_tokens"]) == ("broken", True, 321, 100)
