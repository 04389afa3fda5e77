"""Tenants' rows follow their resources, with several replicas at once."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

from agentic_api.install.secrets import ClusterStore, Files
from agentic_core import names
from agentic_core.cluster.kinds import custom
from agentic_core.db import Database
from agentic_crds import Tenant
from tests.api import harness
from tests.api.harness import Api, World
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

TENANT = custom(Tenant)


async def rows(database: Database, tenant_id: UUID) -> int:
    async with database.session(tenant_id) as session:
        connection = await session.connection()
        counts = [
            (await connection.exec_driver_sql(f"select count(*) from {table}")).scalar_one()  # noqa: S608
            for table in ("tenants", "api_keys", "audit_log")
        ]
    return sum(counts)


async def test_the_finalizer_comes_before_the_row(api: Api, world: World) -> None:
    name = await world.tenant()
    await api.key(name)
    tenant: dict[str, Any] | None = await world.cluster.get(TENANT.ref(name))
    assert tenant is not None
    assert names.DATA_FINALIZER in tenant["metadata"]["finalizers"]
    managers = [entry["manager"] for entry in tenant["metadata"]["managedFields"] if entry["operation"] == "Apply"]
    assert names.API_MANAGER in managers


@requirement("tenant-context")
async def test_a_deleted_tenant_leaves_nothing(
    api: Api, world: World, plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    name = await world.tenant()
    key = await api.key(name)
    tenant_id = api.context.catalog.tenant_id(name)
    assert await rows(api.context.database, tenant_id) >= 3
    async with harness.running(plane, postgres, tmp_path / "secrets") as second:
        await world.delete_tenant(name)

        async def gone() -> bool:
            return await world.cluster.get(TENANT.ref(name)) is None

        await until(gone, what="the tenant to be deleted")
        for replica in (api, second):

            async def refused(replica: Api = replica) -> bool:
                async with replica.client(key) as client:
                    return (await client.get("/api/v1/agents")).status_code == 401

            # Keys are cached for 5 s at most; the rest is for a busy machine.
            await until(refused, what="the tenant's key to end", seconds=10)
    assert await rows(api.context.database, tenant_id) == 0


async def test_a_successor_of_the_same_name_begins_empty(api: Api, world: World) -> None:
    name = await world.tenant()
    await api.key(name)
    before = api.context.catalog.tenant_id(name)
    await world.delete_tenant(name)

    async def gone() -> bool:
        return await world.cluster.get(TENANT.ref(name)) is None

    await until(gone, what="the tenant to be deleted")
    await world.tenant(name)

    async def new_key() -> bool:
        async with api.client() as client:
            body = {"name": "again", "role": "owner", "tenant": name}
            return (await client.post("/api/v1/keys", json=body)).status_code == 201

    await until(new_key, what="a key of the new tenant")
    assert api.context.catalog.tenant_id(name) != before
    assert await rows(api.context.database, before) == 0


async def test_a_tenant_sees_itself_and_no_other(api: Api, world: World) -> None:
    mine, other = await world.tenant(), await world.tenant()
    async with api.client(await api.key(mine, "viewer")) as client:
        shown = await client.get(f"/api/v1/tenants/{mine}")
        assert shown.status_code == 200
        assert shown.json()["namespaces"] == [f"{mine}-default"]
        hidden, missing = await client.get(f"/api/v1/tenants/{other}"), await client.get("/api/v1/tenants/none")
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert hidden.json()["detail"].replace(other, "none") == missing.json()["detail"]
    async with api.client() as admin:
        assert (await admin.get(f"/api/v1/tenants/{other}")).status_code == 200


async def test_parallel_installers_agree(plane: ControlPlane, namespace: str, world: World) -> None:
    store = ClusterStore(world.cluster, namespace)

    async def install(key: str) -> Files:
        return await store.ensure("agentic-admin-key", lambda: {"key": key})

    made = await asyncio.gather(*(install(f"k{n}") for n in range(5)))
    assert len({files["key"] for files in made}) == 1
