"""A tenant is its uid: what a deleted customer holds is good for nothing, least of all for the next one of its name."""

from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from agentic_api.tenants.sync import TenantSync
from agentic_core import names
from agentic_core.auth.api_keys import Role
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import custom
from agentic_core.errors import NotFound
from agentic_crds import Agent, Tenant
from agentic_gateway.route.resources import ClusterResources
from tests.api.harness import MANAGER, Api, World
from tests.api.principals import principal
from tests.gateway import support
from tests.support.apiserver import ControlPlane
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

TENANT = custom(Tenant)
HOLD = "tests/hold"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


async def _keep_rows(*_args: object) -> None:
    """Instead of the deletion of a tenant's rows: its keys stay in the database."""


async def _finalizers(world: World, name: str, finalizers: list[str]) -> None:
    tenant = await world.cluster.get(TENANT.ref(name)) or {}
    meta = {"name": name, "uid": tenant["metadata"]["uid"], "finalizers": finalizers}
    await world.cluster.apply({"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "metadata": meta}, "tests-hold")


async def _agent(world: World, name: str) -> None:
    meta = {"name": "helper", "namespace": f"{name}-default"}
    body = {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "metadata": meta}
    await world.cluster.apply(body | {"spec": {"model": {"name": "m"}}}, MANAGER)


async def _uid(world: World, name: str) -> str:
    tenant = await world.cluster.get(TENANT.ref(name)) or {}
    return str(tenant["metadata"]["uid"])


async def _answers(client: httpx2.AsyncClient, status: int) -> None:
    async def answered() -> bool:
        return (await client.get("/api/v1/agents")).status_code == status

    await until(answered, what=f"status {status}")


async def test_a_deleted_customers_key_ends_with_its_tenant_and_is_not_a_key_of_the_next_one_of_its_name(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows stay, as while their deletion is under way: only the Tenant says that the key is none any more."""
    monkeypatch.setattr(TenantSync, "_remove", _keep_rows)
    name = await world.tenant()
    old_uid, key = await _uid(world, name), await api.key(name)
    await _finalizers(world, name, [HOLD])
    async with api.client(key) as old:
        assert (await old.get("/api/v1/agents")).status_code == 200
        await world.delete_tenant(name)
        await _answers(old, 401)

        await world.cluster.apply(
            {
                "apiVersion": "agentic.io/v1alpha1",
                "kind": "Tenant",
                "metadata": {"name": name, "uid": old_uid, "finalizers": []},
            },
            names.API_MANAGER,
        )
        await _finalizers(world, name, [])
        assert await world.cluster.get(TENANT.ref(name)) is None
        await world.tenant(name)
        await _agent(world, name)
        async with api.client(await api.key(name)) as new:

            async def listed() -> bool:
                return bool((await new.get("/api/v1/agents")).json()["items"])

            await until(listed, what="the agent of the new customer")
            shown = (await new.get(f"/api/v1/tenants/{name}")).status_code
        assert shown == 200
        for path in ("agents", "agents/helper", f"agents/{name}-default.helper", "runs", f"tenants/{name}"):
            assert (await old.get(f"/api/v1/{path}")).status_code == 401, path
        execute = await old.post("/api/v1/agents/helper/execute", json={"input": "hello"})
        assert execute.status_code == 401
    catalog, before = api.context.catalog, principal(UUID(old_uid), name, Role.OWNER)
    assert catalog.page(Agent, before, limit=10, after=None) == ([], None)
    for spelled in ("helper", f"{name}-default.helper"):
        with pytest.raises(NotFound):
            catalog.find(Agent, before, spelled)


async def test_the_gateway_serves_no_tenant_that_is_being_deleted_nor_its_tokens_after_that(
    plane: ControlPlane, world: World
) -> None:
    name = await world.tenant()
    old = await _uid(world, name)
    async with Cluster(plane.credentials) as cluster:
        resources = ClusterResources(cluster)
        async with resources.watching():
            await until(lambda: _allowed(resources, name, old), what="the tenant")
            await _finalizers(world, name, [HOLD])
            await world.delete_tenant(name)
            await until(lambda: _refused(resources, name, old), what="the tenant to be refused while it is deleted")
            await _finalizers(world, name, [])
            await world.tenant(name)
            new = await _uid(world, name)
            await until(lambda: _allowed(resources, name, new), what="the new tenant")
            assert resources.allowed_models(name, old) is None


async def _allowed(resources: ClusterResources, name: str, uid: str) -> bool:
    return resources.allowed_models(name, uid) is not None


async def _refused(resources: ClusterResources, name: str, uid: str) -> bool:
    return resources.allowed_models(name, uid) is None


async def test_a_run_token_of_a_tenant_that_is_being_deleted_is_good_for_no_call(
    postgres: PostgresDatabase, tmp_path: Path
) -> None:
    async with support.gateway(postgres, tmp_path) as gateway:
        gateway.resources.provider("local", "http://127.0.0.1:9/v1", "m")
        client = gateway.openai("local/m")
        gateway.resources.tenant(deleted=True)
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.chat.completions.create(model="local/m", messages=HELLO)
        assert refused.value.code == "tenant_gone"
        gateway.resources.tenant(uid=uuid4())
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
