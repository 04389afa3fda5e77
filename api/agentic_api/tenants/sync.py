"""Keeps the rows of tenants in step with the Tenant resources; the composition root runs it beside the catalog.

Level-triggered: each change of a Tenant, and each restart, makes it look at the whole Tenant again. Several replicas do
the same at the same time without harm, since every step may be repeated. The order protects the data: first the
finalizer, then the first row; first no row, then no finalizer.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from agentic_api.catalog.catalog import Catalog
from agentic_api.tenants.repository import TenantRepository
from agentic_core import names, telemetry
from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import Object
from agentic_core.db import Database, functions
from agentic_crds import Tenant
from agentic_crds.base import API_VERSION

LONGEST_PAUSE = 60.0

log = telemetry.logger(__name__)


class TenantSync:
    """Rows of tenants and the finalizer that guards them."""

    def __init__(self, cluster: Cluster, database: Database) -> None:
        self._cluster = cluster
        self._database = database
        self._pending: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._settled: set[str] = set()
        """Uids of tenants that have finalizer and row, so that changes of their status cost nothing."""

    def changed(self, name: str) -> None:
        """A Tenant appeared, changed or went."""
        if name not in self._queued:
            self._queued.add(name)
            self._pending.put_nowait(name)

    @asynccontextmanager
    async def running(self, catalog: Catalog) -> AsyncGenerator[None]:
        """Follow the catalog inside the block."""
        task = asyncio.create_task(self._follow(catalog))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, catalog: Catalog) -> None:
        failures: dict[str, int] = {}
        while True:
            name = await self._pending.get()
            self._queued.discard(name)
            try:
                tenant = catalog.tenants.get("", name)
                if tenant is not None:
                    await self.reconcile(tenant)
                failures.pop(name, None)
            except Exception as error:  # noqa: BLE001 - one tenant's trouble must not end the others' service
                failures[name] = failures.get(name, 0) + 1
                pause = min(LONGEST_PAUSE, 2.0 ** failures[name]) * random.uniform(0.5, 1)  # noqa: S311 - spreads load
                log.warning("tenant not in step", tenant=name, error=str(error), retry_in=round(pause, 1))
                asyncio.get_running_loop().call_later(pause, self.changed, name)

    async def reconcile(self, tenant: Object) -> None:
        """Bring the rows of one tenant in step."""
        meta = tenant["metadata"]
        if meta.get("deletionTimestamp"):
            await self._remove(tenant)
        elif meta["uid"] not in self._settled:
            await self._keep(tenant)

    async def _keep(self, tenant: Object) -> None:
        meta = tenant["metadata"]
        if names.DATA_FINALIZER not in meta.get("finalizers", []):
            await self._cluster.apply(_finalizers(tenant, [names.DATA_FINALIZER]), names.API_MANAGER)
        async with self._database.session(UUID(meta["uid"])) as session:
            await TenantRepository(session).keep(meta["name"])
        self._settled.add(meta["uid"])
        log.info("tenant has its row", tenant=meta["name"])

    async def _remove(self, tenant: Object) -> None:
        meta = tenant["metadata"]
        if names.DATA_FINALIZER not in meta.get("finalizers", []):
            return
        await functions.delete_tenant(self._database, UUID(meta["uid"]))
        self._settled.discard(meta["uid"])
        try:
            await self._cluster.apply(_finalizers(tenant, []), names.API_MANAGER)
        except (errors.NotFound, errors.Conflict):
            return  # another replica was faster
        log.info("rows of the tenant are deleted", tenant=meta["name"])


def _finalizers(tenant: Object, finalizers: list[str]) -> Object:
    """What we say about a Tenant. The uid makes sure that a successor of the same name is never meant."""
    meta = {"name": tenant["metadata"]["name"], "uid": tenant["metadata"]["uid"]}
    if finalizers:
        meta["finalizers"] = finalizers
    return {"apiVersion": API_VERSION, "kind": Tenant.kind_name, "metadata": meta}
