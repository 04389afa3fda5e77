"""An Idempotency-Key makes any number of requests one run."""

import asyncio

import httpx2

from tests.api.runs.runtime import Runtime

EXECUTE = "/api/v1/agents/helper/execute"
KEY = {"Idempotency-Key": "k-1"}


async def test_a_repeated_request_is_answered_with_the_same_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    first = await client.post(EXECUTE, json={"input": "hello"}, headers=KEY)
    again = await client.post(EXECUTE, json={"input": "hello"}, headers=KEY)
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(runtime.requests) == 1
    streamed = await client.post(EXECUTE, json={"input": "hello", "stream": True}, headers=KEY)
    assert "run.finished" in streamed.text
    assert len(runtime.requests) == 1


async def test_another_request_with_the_key_is_refused(client: httpx2.AsyncClient) -> None:
    first = (await client.post(EXECUTE, json={"input": "hello"}, headers=KEY)).json()
    for path, body in ((EXECUTE, {"input": "bye"}), ("/api/v1/agents/other/execute", {"input": "hello"})):
        answer = await client.post(path, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert answer.json()["run_id"] == first["id"]


async def test_keys_belong_to_tenants(client: httpx2.AsyncClient, foreign: httpx2.AsyncClient) -> None:
    mine = (await client.post(EXECUTE, json={"input": "hello"}, headers=KEY)).json()
    other = await foreign.post(EXECUTE, json={"input": "bye"}, headers=KEY)
    assert other.status_code == 200
    assert other.json()["id"] != mine["id"]


async def test_a_thousand_requests_at_once_are_one_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["wait"] = runtime.hang
    asked = [asyncio.create_task(client.post(EXECUTE, json={"input": "wait"}, headers=KEY)) for _ in range(1000)]
    await runtime.began.wait()
    runtime.go_on.set()
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(runtime.requests) == 1
