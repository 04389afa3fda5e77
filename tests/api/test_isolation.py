"""Every endpoint, tried with the ids of another tenant: nothing is there."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from agentic_core.db import uuid7
from tests.api.harness import Api, World
from tests.requirements import requirement

Ids = dict[str, str]
BODIES: dict[tuple[str, str], Any] = {
    ("put", "/api/v1/agents/{agent_id}"): {"model": "m"},
    ("patch", "/api/v1/agents/{agent_id}"): {"description": "mine now"},
    ("post", "/api/v1/agents/{agent_id}/execute"): {"input": "hello"},
}
LISTS: dict[str, Callable[[Ids], dict[str, str]]] = {
    "/api/v1/agents": lambda _: {},
    "/api/v1/runs": lambda _: {},
    "/api/v1/conversations": lambda _: {},
    "/api/v1/keys": lambda _: {},
}
FOREIGN_BODIES: dict[str, Callable[[Ids], Any]] = {
    "/api/v1/agents": lambda ids: {"name": "intruder", "namespace": ids["namespace"], "model": "m"},
    "/api/v1/keys": lambda ids: {"name": "intruder", "role": "viewer", "tenant": ids["name"]},
}


@pytest.fixture
async def theirs(api: Api, world: World) -> Ids:
    """Ids of things of another tenant, of each kind that a path can name."""
    tenant = await world.tenant()
    key = await api.key(tenant)
    namespace = f"{tenant}-default"
    async with api.client(key) as client:
        await client.post("/api/v1/agents", json={"name": "secret", "model": "m"})
        await world.ready(namespace, "secret", endpoint="http://127.0.0.1:9")
        for _ in range(500):
            run = await client.post("/api/v1/agents/secret/execute", json={"input": "our secret"})
            if run.status_code != 409:
                break
            await asyncio.sleep(0.02)
        made = run.json()
        key_id = (await client.get("/api/v1/keys")).json()["items"][0]["id"]
    return {
        "name": tenant,
        "namespace": namespace,
        "agent_id": f"{namespace}.secret",
        "key_id": key_id,
        "run_id": made.get("id", str(uuid7())),
        "conversation_id": made.get("conversation_id", str(uuid4())),
    }


@requirement("data-isolation")
async def test_every_path_with_ids_of_another_tenant_is_not_found(api: Api, world: World, theirs: Ids) -> None:
    async with api.client(await api.key(await world.tenant())) as intruder:
        paths: dict[str, dict[str, Any]] = (await intruder.get("/openapi.json")).json()["paths"]
        tried = 0
        for path, methods in paths.items():
            if "{" not in path:
                continue
            for method in methods:
                url = path.format(**theirs)
                answer = await intruder.request(method, url, json=BODIES.get((method, path)))
                assert answer.status_code == 404, (method, url, answer.text)
                assert answer.json()["code"] == "not_found", (method, url, answer.text)
                tried += 1
        assert tried >= 10


@requirement("data-isolation")
async def test_lists_and_bodies_reach_nothing_of_another_tenant(api: Api, world: World, theirs: Ids) -> None:
    async with api.client(await api.key(await world.tenant())) as intruder:
        paths: dict[str, dict[str, Any]] = (await intruder.get("/openapi.json")).json()["paths"]
        flat = {path for path in paths if "{" not in path and path.startswith("/api/v1")}
        assert flat == LISTS.keys() | FOREIGN_BODIES.keys()
        for path in LISTS:
            listed = await intruder.get(path)
            assert listed.status_code == 200
            assert not any(value in listed.text for name, value in theirs.items() if name != "namespace"), path
        for path, body in FOREIGN_BODIES.items():
            refused = await intruder.post(path, json=body(theirs))
            assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), path
        for name in ("agent", "conversation_id"):
            value = theirs["agent_id" if name == "agent" else name]
            found = await intruder.get("/api/v1/runs", params={name: value})
            assert found.status_code in (200, 404)
            assert found.json().get("items", []) == []
        listed = await intruder.get("/api/v1/keys", params={"tenant": theirs["name"]})
        assert listed.status_code == 404


@requirement("tenant-context")
async def test_a_tenant_is_never_taken_from_a_header_or_query(api: Api, world: World, theirs: Ids) -> None:
    headers = {"X-Tenant": theirs["name"], "X-Tenant-ID": theirs["name"], "X-Forwarded-User": theirs["name"]}
    async with api.client(await api.key(await world.tenant())) as intruder:
        listed = await intruder.get("/api/v1/agents", headers=headers, params={"tenant": theirs["name"]})
    assert listed.json()["items"] == []
