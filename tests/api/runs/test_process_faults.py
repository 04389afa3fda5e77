"""kill -9 of an api replica and of PostgreSQL in the middle of runs: none stays open, nothing is said twice."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from agentic_core.db import Database
from tests.api.runs import stage
from tests.api.runs.runtime import Runtime
from tests.api.runs.stage import Tenant
from tests.requirements import requirement
from tests.support.postgres import Postgres, PostgresDatabase
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

EXECUTE = "/api/v1/agents/helper/execute"


async def said(client: httpx2.AsyncClient, run: dict[str, Any]) -> list[tuple[str, str]]:
    conversation = (await client.get(f"/api/v1/conversations/{run['conversation_id']}")).json()
    return [(item["role"], item["content"]) for item in conversation["messages"]]


async def ended(client: httpx2.AsyncClient, run_id: str) -> dict[str, Any]:
    async def finished() -> dict[str, Any] | None:
        run: dict[str, Any] = (await client.get(f"/api/v1/runs/{run_id}")).json()
        return run if run["status"] != "running" else None

    run: dict[str, Any] = await until(finished, what="the run to end")
    return run


@requirement("stateless")
async def test_another_replica_closes_the_runs_of_a_killed_one(
    postgres: PostgresDatabase, tenant: Tenant, runtime: Runtime
) -> None:
    runtime.scripts["wait"] = runtime.hang
    catalog = stage.catalog_of([tenant], endpoint=runtime.url)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(stage.replica_process(postgres.api, [tenant], endpoint=runtime.url))
        survivors = [await stack.enter_async_context(stage.serving(postgres.api, catalog)) for _ in range(2)]
        doomed = await stack.enter_async_context(first.api.client(tenant.key))
        client = await stack.enter_async_context(survivors[0].client(tenant.key))
        asked = asyncio.create_task(doomed.post(EXECUTE, json={"input": "wait"}))
        await runtime.began.wait()
        run_id = (await client.get("/api/v1/runs")).json()["items"][0]["id"]
        await _stored(client, run_id)
        await first.kill()
        with pytest.raises(httpx2.TransportError):
            await asked
        killed = time.monotonic()
        run = await ended(client, run_id)
        leases = stage.QUICK.leases
        longest = 2 * (leases.lease_seconds + leases.interval_seconds)
        assert time.monotonic() - killed < longest + 10, "lease and interval, on a busy machine"
        assert (run["status"], run["output"]) == ("interrupted", "so far")
        assert await said(client, run) == [("user", "wait"), ("assistant", "so far")]
        again = await client.post(EXECUTE, json={"input": "hello", "conversation_id": run["conversation_id"]})
        assert again.json()["status"] == "succeeded"
        await asyncio.wait_for(runtime.dropped.wait(), PATIENCE)


async def _stored(client: httpx2.AsyncClient, run_id: str) -> None:
    """Wait until both pieces of text can be seen from here, so that they are in the database."""
    async with client.stream("GET", f"/api/v1/runs/{run_id}/events") as response:
        pieces = 0
        async for text in response.aiter_lines():
            pieces += text == "event: message.delta"
            if pieces == 2:
                return


@pytest.fixture
async def fragile(postgres_of_my_own: Postgres) -> PostgresDatabase:
    """A database on a server that may be killed."""
    return await postgres_of_my_own.fresh()


@pytest.mark.parametrize("moment", ["while the run goes on", "before it ends"])
async def test_a_run_outlives_a_crash_of_postgres(
    postgres_of_my_own: Postgres, fragile: PostgresDatabase, runtime: Runtime, moment: str
) -> None:
    database = Database(fragile.api)
    tenant = await stage.tenant(database)
    await database.close()
    runtime.scripts["wait"] = runtime.hang
    catalog = stage.catalog_of([tenant], endpoint=runtime.url)
    async with stage.serving(fragile.api, catalog) as api, api.client(tenant.key) as client:
        asked = asyncio.create_task(client.post(EXECUTE, json={"input": "wait"}))
        await runtime.began.wait()
        postgres_of_my_own.kill()
        if moment == "before it ends":
            runtime.go_on.set()
        await asyncio.to_thread(postgres_of_my_own.start)
        runtime.go_on.set()
        run = (await asked).json()
        assert (run["status"], run["output"]) == ("succeeded", "so far so good"), run
        assert await said(client, run) == [("user", "wait"), ("assistant", "so far so good")]
        assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run
        assert (await client.post(EXECUTE, json={"input": "hello"})).json()["status"] == "succeeded"


async def test_a_shutdown_lets_runs_end_and_interrupts_the_rest(
    postgres: PostgresDatabase, tenant: Tenant, runtime: Runtime
) -> None:
    runtime.scripts["wait"] = runtime.hang
    catalog = stage.catalog_of([tenant], endpoint=runtime.url)
    async with stage.serving(postgres.api, catalog) as api, api.client(tenant.key) as client:
        response = client.stream("POST", EXECUTE, json={"input": "wait", "stream": True})
        async with response:
            await runtime.began.wait()
    async with stage.serving(postgres.api, catalog) as api, api.client(tenant.key) as client:
        run = (await client.get("/api/v1/runs")).json()["items"][0]
        assert (run["status"], run["output"]) == ("interrupted", "so far")
        assert "shut down" in run["error"]["message"]


async def test_a_shutdown_waits_for_runs_as_long_as_its_pod_may(
    postgres: PostgresDatabase, tenant: Tenant, runtime: Runtime
) -> None:
    runtime.scripts["wait"] = runtime.hang
    catalog = stage.catalog_of([tenant], endpoint=runtime.url)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(stage.serving(postgres.api, catalog))
        client = await stack.enter_async_context(api.client(tenant.key))
        async with client.stream("POST", EXECUTE, json={"input": "wait", "stream": True}):
            await runtime.began.wait()
        api.lifecycle.drain(60)
        ending = asyncio.create_task(stack.aclose())
        await asyncio.wait((ending,), timeout=2 * stage.QUICK.drain_seconds + 1)
        assert not ending.done(), "it waits for the run, whose client is gone"
        runtime.go_on.set()
        await ending
    async with stage.serving(postgres.api, catalog) as api, api.client(tenant.key) as client:
        run = (await client.get("/api/v1/runs")).json()["items"][0]
        assert (run["status"], run["output"]) == ("succeeded", "so far so good")
