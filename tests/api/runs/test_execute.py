"""Executing agents: what the client gets, and what is kept."""

import httpx2

from tests.api.runs.runtime import Runtime, calculate


async def test_a_run_answers_with_what_was_said_and_is_kept(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/v1/agents/helper/execute", json={"input": "hello"})
    assert answer.status_code == 200, answer.text
    run = answer.json()
    assert run["status"] == "succeeded"
    assert run["output"] == "hello"
    assert [(item["role"], item["content"]) for item in run["messages"]] == [("user", "hello"), ("assistant", "hello")]
    assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run


async def test_tools_are_part_of_the_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["6*7?"] = calculate
    run = (await client.post("/api/v1/agents/helper/execute", json={"input": "6*7?"})).json()
    assert [item["role"] for item in run["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert run["tool_calls"] == [
        {"id": "c1", "name": "calculator", "arguments": {"expression": "6*7"}, "result": "42", "is_error": False,
         "duration_ms": 3}
    ]  # fmt: skip
    assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run
