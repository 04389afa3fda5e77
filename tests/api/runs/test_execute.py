"""Executing agents: what the client gets, and what is kept."""

import asyncio
from typing import Any

import httpx2
import jwt
import pytest

from agentic_core.contract import Final, MessageDelta
from tests.api.runs.runtime import Answer, Runtime, calculate
from tests.requirements import requirement

EXECUTE = "/api/v1/agents/helper/execute"


async def executed(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(EXECUTE, json=body)
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    return run


def said(thing: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["role"], item["content"]) for item in thing["messages"]]


@requirement("api-execute", "execute-endpoint")
async def test_a_run_answers_with_what_was_said_and_is_kept(client: httpx2.AsyncClient) -> None:
    run = await executed(client, input="hello", metadata={"ticket": "7"})
    assert (run["status"], run["output"], run["error"], run["cost"]) == ("succeeded", "hello", None, "0")
    assert said(run) == [("user", "hello"), ("assistant", "hello")]
    assert run["agent"].endswith("-default.helper")
    assert run["revision"] == "helper-0123456789"
    assert run["metadata"] == {"ticket": "7"}
    assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run


async def test_the_run_token_says_what_the_run_may_use(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    run = await executed(client, input="hello")
    claims = jwt.decode(runtime.tokens[-1], options={"verify_signature": False})
    assert (claims["run_id"], claims["models"], claims["max_tokens"]) == (run["id"], ["local/echo"], 1000)


async def test_tools_are_part_of_the_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["6*7?"] = calculate
    run = await executed(client, input="6*7?")
    assert [item["role"] for item in run["messages"]] == ["user", "assistant", "tool", "assistant"]
    call = {"id": "c1", "name": "calculator", "arguments": {"expression": "6*7"}}
    assert run["tool_calls"] == [call | {"result": "42", "is_error": False, "duration_ms": 3}]
    assert run["messages"][1]["tool_calls"] == [call]
    assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run


@requirement("state")
async def test_a_conversation_goes_on_with_all_that_was_said(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["6*7?"] = calculate
    first = await executed(client, input="6*7?")
    second = await executed(client, input="sure?", conversation_id=first["conversation_id"])
    assert said(second) == [("user", "sure?"), ("assistant", "sure?")]
    history = runtime.requests[-1].messages
    assert [item.role for item in history] == ["user", "assistant", "tool", "assistant", "user"]
    assert history[1].tool_calls[0].arguments == {"expression": "6*7"}
    assert history[2].tool_call_id == "c1"
    conversation = (await client.get(f"/api/v1/conversations/{first['conversation_id']}")).json()
    assert said(conversation) == said(first) + said(second)
    assert [item["position"] for item in conversation["messages"]] == list(range(6))


async def test_the_client_may_bring_messages(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    messages = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3"},
    ]
    run = await executed(client, messages=messages)
    assert said(run) == [("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "3")]
    assert [item.content for item in runtime.requests[-1].messages] == ["1", "2", "3"]


async def test_the_runtime_gets_the_definition_of_the_revision(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    run = await executed(client, input="hello")
    request = runtime.requests[-1]
    assert (request.run_id, request.revision) == (run["id"], run["revision"])
    assert request.definition.system_prompt == "Be brief."
    assert request.definition.limits.max_execution_time == 60


async def test_a_runtime_may_say_little(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def final_only(answer: Answer) -> None:
        await answer.send(Final(output="done"))

    async def deltas_only(answer: Answer) -> None:
        await answer.send(MessageDelta(text="do"), MessageDelta(text="ne"), Final(output="done"))

    runtime.scripts |= {"a": final_only, "b": deltas_only}
    for text in ("a", "b"):
        run = await executed(client, input=text)
        assert (run["status"], said(run)[1:]) == ("succeeded", [("assistant", "done")])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"input": ""}, "body.input"),
        ({"input": "a", "messages": [{"role": "user", "content": "b"}]}, "body"),
        ({"messages": []}, "body.messages"),
        ({"messages": [{"role": "assistant", "content": "b"}]}, "body"),
        ({"messages": [{"role": "system", "content": "b"}]}, "body.messages.0.role"),
        ({"messages": [{"role": "user", "content": "b"}] * 257}, "body.messages"),
        ({"input": "a" * 1_000_001}, "body.input"),
        ({"messages": [{"role": "user", "content": "a" * 600_000}] * 2}, "body"),
        ({"input": "a", "conversation_id": "x"}, "body.conversation_id"),
        ({"input": "a", "metadata": {"a": "b" * 513}}, "body.metadata.a"),
        ({"input": "a", "metadata": {str(n): "b" for n in range(17)}}, "body.metadata"),
        ({"input": "a", "unknown": 1}, "body.unknown"),
    ],
)
@requirement("input-validation")
async def test_what_breaks_a_rule_is_refused(client: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await client.post(EXECUTE, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert field in [item["field"] for item in answer.json()["errors"]]
    assert (await client.get("/api/v1/runs")).json()["items"] == []


async def test_unknown_agents_and_conversations_are_not_found(client: httpx2.AsyncClient) -> None:
    unknown = "00000000-0000-7000-8000-000000000000"
    for path, body in (
        ("/api/v1/agents/nobody/execute", {"input": "a"}),
        (EXECUTE, {"input": "a", "conversation_id": unknown}),
    ):
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_conversation_stays_with_its_agent(client: httpx2.AsyncClient) -> None:
    run = await executed(client, input="hello")
    body = {"input": "hello", "conversation_id": run["conversation_id"]}
    answer = await client.post("/api/v1/agents/other/execute", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conversation_agent_mismatch")


async def test_a_conversation_has_one_run_at_a_time(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    first = await executed(client, input="hello")
    runtime.scripts["wait"] = runtime.hang
    body = {"input": "wait", "conversation_id": first["conversation_id"]}
    running = asyncio.create_task(client.post(EXECUTE, json=body))
    await runtime.began.wait()
    refused = await client.post(EXECUTE, json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_busy")
    assert (await client.delete(f"/api/v1/conversations/{first['conversation_id']}")).status_code == 409
    runtime.go_on.set()
    assert refused.json()["run_id"] == (await running).json()["id"]


async def test_concurrent_appends_never_interleave(client: httpx2.AsyncClient) -> None:
    conversation = (await executed(client, input="start"))["conversation_id"]

    async def insist(text: str) -> None:
        while True:
            answer = await client.post(EXECUTE, json={"input": text, "conversation_id": conversation})
            if answer.status_code == 200:
                return
            assert answer.status_code == 409, answer.text

    await asyncio.gather(*(insist(f"text {n}") for n in range(8)))
    found = (await client.get(f"/api/v1/conversations/{conversation}")).json()
    assert [item["position"] for item in found["messages"]] == list(range(18))
    pairs = list(zip(said(found)[::2], said(found)[1::2], strict=True))
    assert all(asked == ("user", text) for asked, (role, text) in pairs)
    assert len(set(pairs)) == 9


async def test_runs_are_listed_newest_first_in_pages(client: httpx2.AsyncClient) -> None:
    made = [(await executed(client, input=str(n)))["id"] for n in range(5)]
    await client.post("/api/v1/agents/other/execute", json={"input": "a"})
    found: list[str] = []
    query: dict[str, str | int] = {"limit": 2, "agent": "helper", "status": "succeeded"}
    while True:
        page = (await client.get("/api/v1/runs", params=query)).json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == made[::-1]
    assert (await client.get("/api/v1/runs", params={"status": "failed"})).json()["items"] == []
    assert (await client.get("/api/v1/runs", params={"cursor": "bm9uc2Vuc2U"})).status_code == 422
