"""OpenAI's own client against the gateway, aimock behind it."""

from decimal import Decimal
from uuid import uuid4

import openai
import pytest
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionUserMessageParam,
)

from agentic_core.cluster.kinds import custom
from agentic_crds import Tenant
from tests.gateway.support import Running
from tests.requirements import requirement
from tests.support.aimock import Aimock

HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Say hello in French, please."}]
COUNTED: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "usage"}]


@requirement("providers")
async def test_a_completion_is_answered_and_charged(mocked: Running) -> None:
    client = mocked.openai("mock/gpt-mock")
    answer = await client.chat.completions.create(model="mock/gpt-mock", messages=COUNTED)
    assert answer.choices[0].message.content == "Counted."
    assert answer.model == "gpt-mock", "the provider's own name"
    (row,) = await mocked.rows()
    assert (row["provider"], row["model"], row["operation"]) == ("mock", "gpt-mock", "chat")
    assert (row["input_tokens"], row["output_tokens"], row["estimated"], row["status"]) == (
        1200,
        34,
        False,
        "completed",
    )
    assert row["cost"] == Decimal("0.002672"), "1200 tokens at 2 $, 34 at 8 $ a million"


@requirement("providers")
async def test_a_stream_is_passed_on_and_charged_without_being_asked_for_usage(mocked: Running) -> None:
    client = mocked.openai("mock/gpt-mock")
    stream = await client.chat.completions.create(model="mock/gpt-mock", messages=COUNTED, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Counted."
    assert all(chunk.choices for chunk in chunks), "the chunk with the usage was ours to ask for, not the caller's"
    (row,) = await mocked.rows()
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == (1200, 34, False)


async def test_who_asks_for_usage_in_a_stream_gets_it(mocked: Running) -> None:
    client = mocked.openai("mock/gpt-mock")
    stream = await client.chat.completions.create(
        model="mock/gpt-mock", messages=COUNTED, stream=True, stream_options={"include_usage": True}
    )
    *_, last = [chunk async for chunk in stream]
    assert last.usage is not None
    assert (last.choices, last.usage.prompt_tokens) == ([], 1200)


async def test_tool_calls_come_through(mocked: Running) -> None:
    client = mocked.openai("mock/gpt-mock")
    tool: ChatCompletionFunctionToolParam = {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object"}},
    }
    messages: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "How is the weather?"}]
    answer = await client.chat.completions.create(model="mock/gpt-mock", messages=messages, tools=[tool])
    (call,) = answer.choices[0].message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')


async def test_embeddings_are_answered_and_charged(mocked: Running) -> None:
    client = mocked.openai("mock/embedder")
    answer = await client.embeddings.create(model="mock/embedder", input=["one", "two"])
    assert len(answer.data) == 2
    (row,) = await mocked.rows()
    assert (row["operation"], row["model"], row["output_tokens"]) == ("embeddings", "embedder", 0)
    assert (row["input_tokens"], row["estimated"]) == (2, True), "this provider says 0, which cannot be"


async def test_models_of_the_run_are_listed(mocked: Running) -> None:
    client = mocked.openai("mock/gpt-mock", "claude/gpt-mock", "gone/gpt-mock")
    assert [model.id async for model in client.models.list()] == ["mock/gpt-mock", "claude/gpt-mock"]


async def test_the_provider_gets_its_key_and_nothing_of_the_run(mocked: Running, aimock: Aimock) -> None:
    client = mocked.openai("mock/gpt-mock")
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": trace, "x-forwarded-for": "10.1.2.3", "cookie": "a=b"}
    await client.chat.completions.create(model="mock/gpt-mock", messages=HELLO, extra_headers=headers)
    sent = aimock.journal()[-1]
    assert sent["body"]["model"] == "gpt-mock"
    assert not {"traceparent", "x-forwarded-for", "cookie"} & set(sent["headers"])
    assert sent["headers"]["user-agent"] == "agentic-gateway"


@requirement("error-handling")
async def test_errors_are_the_clients_typed_ones(mocked: Running) -> None:
    client = mocked.openai("mock/gpt-mock", "mock/refuses", "claude/gpt-mock", "mock/always-broken")

    async def call(model: str) -> None:
        await client.chat.completions.create(model=model, messages=HELLO)

    with pytest.raises(openai.PermissionDeniedError) as denied:
        await call("mock/other")
    assert (denied.value.code, denied.value.type) == ("model_not_allowed", "permission_error")
    with pytest.raises(openai.BadRequestError) as refused:
        await call("mock/refuses")
    assert refused.value.code == "context_length_exceeded", "what the provider says of the request is passed on"
    with pytest.raises(openai.BadRequestError) as wrong:
        await call("claude/gpt-mock")
    assert wrong.value.code == "wrong_wire"
    with pytest.raises(openai.InternalServerError) as failed:
        await call("mock/always-broken")
    assert failed.value.code == "provider_failed"
    assert "mock/always-broken answered 500 (2 attempts)" in failed.value.message
    assert await mocked.rows() == [], "no answer, no charge"


async def test_a_tenants_patterns_hold_at_the_gateway(mocked: Running) -> None:
    mocked.resources.tenant(allowed=["claude/*"])
    with pytest.raises(openai.PermissionDeniedError, match=r"spec\.ai\.models\.allowed"):
        await mocked.openai("mock/gpt-mock").chat.completions.create(model="mock/gpt-mock", messages=HELLO)


async def test_a_token_is_good_for_the_tenant_that_it_was_signed_for_and_no_other(mocked: Running) -> None:
    client = mocked.openai("mock/gpt-mock")
    mocked.resources.tenant(uid=uuid4())
    for _ in range(2):
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.chat.completions.create(model="mock/gpt-mock", messages=HELLO)
        assert refused.value.code == "tenant_gone"
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
        mocked.resources.note_tenant(custom(Tenant).ref("acme"), None)
    assert await mocked.rows() == []


async def test_a_model_that_no_provider_lists_is_not_found(mocked: Running) -> None:
    client = mocked.openai("mock/unlisted", "nobody/gpt-mock")
    for model in ("mock/unlisted", "nobody/gpt-mock"):
        with pytest.raises(openai.NotFoundError) as error:
            await client.chat.completions.create(model=model, messages=HELLO)
        assert error.value.code == "model_not_found"


async def test_providers_of_another_namespace_are_out_of_reach(mocked: Running) -> None:
    token = mocked.token("mock/gpt-mock", namespace="globex-default")
    with pytest.raises(openai.NotFoundError):
        await mocked.openai(token=token).chat.completions.create(model="mock/gpt-mock", messages=HELLO)


async def test_tokens_that_are_forged_or_expired_are_refused(mocked: Running) -> None:
    good = mocked.token("mock/gpt-mock")
    head, body, signature = good.split(".")
    tokens = [mocked.token("mock/gpt-mock", lifetime=-60), f"{head}.{body}.{signature[:-4]}AAAA", "agk_x", "x" * 20_000]
    tokens.append(mocked.token("mock/gpt-mock", run_id="not-a-uuid"))
    for token in tokens:
        with pytest.raises(openai.AuthenticationError):
            await mocked.openai(token=token).chat.completions.create(model="mock/gpt-mock", messages=HELLO)
