"""An Idempotency-Key makes any number of requests one run."""

import asyncio
from collections import Counter

import aiohttp
import httpx2
import pytest

from agentic_api.runs.lifecycle.replica import RunTiming
from tests.api.runs import stage
from tests.api.runs.runtime import Runtime
from tests.api.runs.stage import Tenant
from tests.support.postgres import PostgresDatabase

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


async def test_two_tenants_may_use_the_same_idempotency_key(
    client: httpx2.AsyncClient, foreign: httpx2.AsyncClient
) -> None:
    mine = (await client.post(EXECUTE, json={"input": "hello"}, headers=KEY)).json()
    other = await foreign.post(EXECUTE, json={"input": "bye"}, headers=KEY)
    assert other.status_code == 200
    assert other.json()["id"] != mine["id"]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_thousands_of_requests_at_once_are_one_run(
    postgres: PostgresDatabase, tenant: Tenant, runtime: Runtime
) -> None:
    """Each has a connection of its own. As many as a tenant may have waiting get the run, the others are told so."""
    runtime.scripts["wait"] = runtime.hang
    catalog = stage.catalog_of([tenant], endpoint=runtime.url)
    most = stage.AMPLE.followers_per_tenant
    refused = asyncio.Semaphore(0)
    headers = KEY | {"Authorization": f"Bearer {tenant.key}"}
    async with (
        stage.serving(postgres.api, catalog, timing=RunTiming()) as api,
        aiohttp.ClientSession(api.url, headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):

        async def ask() -> tuple[int, str]:
            async with session.post(EXECUTE, json={"input": "wait"}) as answer:
                body = await answer.json()
                if answer.status != 200:
                    refused.release()
                return answer.status, body["id"] if answer.status == 200 else body["code"]

        asked = [asyncio.create_task(ask()) for _ in range(3 * most)]
        for _ in range(2 * most):
            await refused.acquire()
        runtime.go_on.set()
        answers = Counter(await asyncio.gather(*asked))
        async with session.get("/api/v1/runs") as listed:
            runs = (await listed.json())["items"]
    assert answers == {(200, runs[0]["id"]): most, (429, "too_many_followers"): 2 * most}
    assert len(runs) == len(runtime.requests) == 1
