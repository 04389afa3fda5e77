"""A run whose definition cannot be loaded is refused, and nothing of it is stored."""

import httpx2
import pytest

from agentic_api.catalog.definitions import GetObject
from agentic_core.cluster.errors import Unreachable
from agentic_core.cluster.kinds import Object, Ref
from tests.api.runs import stage
from tests.api.runs.runtime import Runtime
from tests.api.runs.stage import Tenant
from tests.support.postgres import PostgresDatabase


async def unreachable(ref: Ref) -> Object | None:
    """An API server that does not respond."""
    raise Unreachable(f"GET {ref.path}: no response")


async def deleted(ref: Ref) -> Object | None:
    """An API server that has no such object any more."""
    return None


@pytest.mark.parametrize(
    ("get", "status", "code", "detail"),
    [
        (unreachable, 503, "unavailable", "The run was not begun"),
        (deleted, 409, "agent_not_ready", "revision helper-0123456789 does not exist any more"),
    ],
)
async def test_a_run_without_a_definition_is_refused_before_anything_is_stored(
    postgres: PostgresDatabase,
    tenant: Tenant,
    runtime: Runtime,
    get: GetObject,
    status: int,
    code: str,
    detail: str,
) -> None:
    catalog = stage.catalog_of([tenant], endpoint=runtime.url)
    async with stage.serving(postgres.api, catalog, get=get) as api, api.client(tenant.key) as client:
        for headers in ({}, {"Idempotency-Key": "one"}):
            response = await client.post("/api/v1/agents/helper/execute", json={"input": "hello"}, headers=headers)
            assert (response.status_code, response.json()["code"]) == (status, code)
            assert detail in response.json()["detail"]
        assert await stored(client) == ([], [])
    async with stage.serving(postgres.api, catalog) as api, api.client(tenant.key) as client:
        response = await client.post(
            "/api/v1/agents/helper/execute", json={"input": "hello"}, headers={"Idempotency-Key": "one"}
        )
        assert response.json()["status"] == "succeeded"


async def stored(client: httpx2.AsyncClient) -> tuple[list[object], list[object]]:
    """Runs and conversations of the tenant."""
    runs, conversations = [(await client.get(f"/api/v1/{what}")).json()["items"] for what in ("runs", "conversations")]
    return runs, conversations
