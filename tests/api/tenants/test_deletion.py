"""Rows of a deleted tenant go in batches, beside the work for other tenants, and before its finalizer does."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from agentic_api.catalog.catalog import Catalog
from agentic_api.tenants.sync import TenantSync
from agentic_core import cluster, names
from agentic_core.db import Database, functions, tables
from agentic_crds import Tenant
from tests.core.db.rows import delete_tenant, insert, rows
from tests.support.waiting import until

Object = dict[str, Any]


class Cluster:
    """Tenants in a catalog, and what is applied to them."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.without_finalizer: list[str] = []
        self.on_apply: Callable[[Object], Awaitable[None]] = self._nothing

    async def _nothing(self, _tenant: Object) -> None:
        pass

    def add(self, *, deleted: bool = False) -> Object:
        uid = str(uuid4())
        meta: Object = {"name": f"t-{uid}", "uid": uid, "resourceVersion": "1"}
        if deleted:
            meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names.DATA_FINALIZER]}
        self.catalog.stores[Tenant].put({"metadata": meta})
        return {"metadata": meta}

    async def apply(self, obj: Object, _manager: str) -> Object:
        name = obj["metadata"]["name"]
        tenant = self.catalog.tenant(name)
        assert tenant is not None
        await self.on_apply(tenant)
        if not obj["metadata"].get("finalizers"):
            self.without_finalizer.append(name)
            self.catalog.stores[Tenant].drop({"metadata": tenant["metadata"] | {"resourceVersion": "2"}})
        return tenant


def syncing(api_server: Cluster, database: Database) -> TenantSync:
    return TenantSync(cast("cluster.Cluster", api_server), database, batch_rows=2)


async def remaining(database: Database, tenant: Object) -> int:
    async with database.session(UUID(tenant["metadata"]["uid"])) as session:
        counts = [
            sa.select(sa.func.count()).select_from(table).scalar_subquery() for table in tables.metadata.sorted_tables
        ]
        total: int = (await session.execute(sa.select(sum(counts[1:], counts[0])))).scalar_one()
    return total


async def stored(database: Database, tenant: Object) -> None:
    tenant_id = UUID(tenant["metadata"]["uid"])
    async with database.session(tenant_id) as session:
        await insert(session, rows(tenant_id))


async def finished(api_server: Cluster) -> None:
    async def without_finalizer() -> bool:
        return bool(api_server.without_finalizer)

    await until(without_finalizer, "the finalizer to be removed")


@pytest.mark.parametrize("replicas", [1, 3])
async def test_the_finalizer_goes_when_no_row_is_left(database: Database, replicas: int) -> None:
    api_server = Cluster()
    deleted, kept = api_server.add(deleted=True), api_server.add()
    await stored(database, deleted)
    await stored(database, kept)
    left: list[int] = []

    async def count(tenant: Object) -> None:
        left.append(await remaining(database, tenant))

    api_server.on_apply = count
    async with AsyncExitStack() as stack:
        for _ in range(replicas):
            one = syncing(api_server, database)
            await stack.enter_async_context(one.running(api_server.catalog))
            one.changed(deleted["metadata"]["name"])
        await finished(api_server)
    assert set(left) == {0}
    assert await remaining(database, kept) == len(tables.metadata.tables)


async def test_other_tenants_get_their_turn_between_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_server = Cluster()
    deleted, new = api_server.add(deleted=True), api_server.add()
    await stored(database, deleted)
    done: list[str] = []
    delete = functions.delete_tenant

    async def one_at_a_time(*args: Any, **bounds: Any) -> functions.Deletion:
        batch = await delete(*args, **bounds)
        done.append("done" if batch.done else "batch")
        return batch

    async def note(tenant: Object) -> None:
        if tenant == new:
            done.append("new")

    monkeypatch.setattr(functions, "delete_tenant", one_at_a_time)
    api_server.on_apply = note
    one = syncing(api_server, database)
    async with one.running(api_server.catalog):
        for tenant in (deleted, new):
            one.changed(tenant["metadata"]["name"])
        await finished(api_server)
    assert done[:2] == ["batch", "new"]
    assert done.count("batch") >= 5


async def test_changes_of_a_tenant_do_not_add_batches_to_its_deletion(database: Database) -> None:
    deleted = Cluster().add(deleted=True)
    await stored(database, deleted)
    one = syncing(Cluster(), database)
    for _ in range(3):
        await one.reconcile(deleted)
    pending = [timer for timer in one._timers.values() if not timer.cancelled()]
    assert len(pending) == 1
    pending[0].cancel()


@pytest.mark.parametrize("moment", ["deleted before", "deleted after"])
async def test_a_replica_that_is_late_makes_no_row_for_a_deleted_tenant(database: Database, moment: str) -> None:
    """It has read the tenant before its deletion, which another replica carries out meanwhile."""
    api_server = Cluster()
    tenant = api_server.add()
    tenant_id = UUID(tenant["metadata"]["uid"])
    meanwhile: list[bool] = []

    async def delete(stored: Object) -> None:
        meanwhile.append((await delete_tenant(database, tenant_id, max_rows=9)).done)
        if moment == "deleted before":
            stored["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    api_server.on_apply = delete
    await syncing(api_server, database).reconcile({"metadata": dict(tenant["metadata"])})
    assert meanwhile == [False], "the deletion does not end while the row may still be committed"
    assert await remaining(database, tenant) == (0 if moment == "deleted before" else 1)
    assert (await delete_tenant(database, tenant_id, max_rows=9)).done
    assert await remaining(database, tenant) == 0
