"""Keeps the rows of tenants in step with the Tenant resources; the composition root runs it beside the catalog.

Level-triggered: each change of a Tenant, and each restart, makes it look at the whole Tenant again. Several replicas do
the same at the same time without harm, since every step may be repeated. The order protects the data: first the
finalizer, then the commit of the first row; first no row, then no finalizer.

Rows are deleted in batches, each a short transaction, with pauses between them in which other statements and other
tenants get their turn. Progress is in the database: a deletion goes on after a restart, at whichever replica.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from agentic_api.catalog.catalog import Catalog
from agentic_api.tenants.repository import TenantRepository
from agentic_core import names, tasks, telemetry
from agentic_core.backoff import Backoff
from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import Object
from agentic_core.db import Database, functions
from agentic_crds import Tenant
from agentic_crds.base import API_VERSION

BATCH_ROWS = 2000
"""Rows that one transaction deletes: some hundredths of a second; with large rows, still far below any timeout."""
PROGRESS_SECONDS = 30.0
"""How often a deletion that goes on is logged."""
RETRY = Backoff(first=1.0, longest=60.0)
BLOCKED = Backoff(first=0.1, longest=5.0)
"""Pauses after batches that could delete nothing: another replica is at it, or transactions of the tenant are open."""

log = telemetry.logger(__name__)


@dataclass
class _Progress:
    """How far the deletion of a tenant has come, as this replica has seen it."""

    uid: str
    rows: int = 0
    blocked: int = 0
    """Consecutive batches that deleted nothing."""
    logged: float = field(default_factory=monotonic)

    def add(self, deleted: int) -> None:
        self.rows += deleted
        self.blocked = 0 if deleted else self.blocked + 1

    def pause(self, took: float) -> float:
        """Seconds until the next batch, after one that took so many: a deletion is at work half of the time."""
        return BLOCKED.pause(self.blocked) if self.blocked else took


class TenantSync:
    """Rows of tenants and the finalizer that guards them."""

    def __init__(self, cluster: Cluster, database: Database, *, batch_rows: int = BATCH_ROWS) -> None:
        self._cluster = cluster
        self._database = database
        self._batch_rows = batch_rows
        self._pending: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._settled: set[str] = set()
        """Uids of tenants that have finalizer and row, so that changes of their status cost nothing."""
        self._deleting: dict[str, _Progress] = {}
        """Deletions in progress, by the tenant's name."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """When a tenant is looked at again; one timer each, so that no change of it adds to the pace of its batches."""

    def changed(self, name: str) -> None:
        """A Tenant appeared, changed or went."""
        if name not in self._queued:
            self._queued.add(name)
            self._pending.put_nowait(name)

    @asynccontextmanager
    async def running(self, catalog: Catalog) -> AsyncGenerator[None]:
        """Follow the catalog inside the block."""
        async with tasks.background(self._follow(catalog)):
            yield

    async def _follow(self, catalog: Catalog) -> None:
        failures: dict[str, int] = {}
        while True:
            name = await self._pending.get()
            self._queued.discard(name)
            try:
                tenant = catalog.tenant(name)
                if tenant is not None:
                    await self.reconcile(tenant)
                else:
                    self._deleting.pop(name, None)
                failures.pop(name, None)
            except Exception as error:  # noqa: BLE001 - one tenant's trouble must not end the others' service
                failures[name] = failures.get(name, 0) + 1
                pause = RETRY.pause(failures[name])
                log.warning("tenant not in step", tenant=name, error=str(error), retry_in=round(pause, 1))
                self._later(name, pause)

    def _later(self, name: str, seconds: float) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, self._look_again, name)

    def _look_again(self, name: str) -> None:
        del self._timers[name]
        self.changed(name)

    async def reconcile(self, tenant: Object) -> None:
        """Bring the rows of one tenant in step."""
        meta = tenant["metadata"]
        if meta.get("deletionTimestamp"):
            await self._remove(tenant)
        elif meta["uid"] not in self._settled:
            await self._keep(tenant)

    async def _keep(self, tenant: Object) -> None:
        """Give a tenant its row.

        Invariant: no row is made for a tenant that is deleted, however late this replica is. From its insertion to its
        commit the row holds a lock that the end of a deletion waits for, and the finalizer is applied between.
        """
        meta = tenant["metadata"]
        async with self._database.session(UUID(meta["uid"])) as session:
            new = await TenantRepository(session).keep(meta["name"])
            if new or names.DATA_FINALIZER not in meta.get("finalizers", []):
                stored = await self._cluster.apply(_finalizers(tenant, [names.DATA_FINALIZER]), names.API_MANAGER)
                if "deletionTimestamp" in stored["metadata"]:
                    await session.rollback()
                    return
        self._settled.add(meta["uid"])
        log.info("tenant has its row", tenant=meta["name"])

    async def _remove(self, tenant: Object) -> None:
        meta = tenant["metadata"]
        if names.DATA_FINALIZER not in meta.get("finalizers", []):
            return
        if not await self._delete_batch(meta["name"], meta["uid"]):
            return
        deleted = self._progress(meta["name"], meta["uid"]).rows
        del self._deleting[meta["name"]]
        self._settled.discard(meta["uid"])
        try:
            await self._cluster.apply(_finalizers(tenant, []), names.API_MANAGER)
        except (errors.ObjectNotFound, errors.ObjectConflict):
            return  # another replica was faster
        log.info("rows of the tenant are deleted", tenant=meta["name"], rows=deleted)

    def _progress(self, name: str, uid: str) -> _Progress:
        """That of this Tenant, not of one that had its name before."""
        found = self._deleting.get(name)
        if found is None or found.uid != uid:
            found = self._deleting[name] = _Progress(uid)
        return found

    async def _delete_batch(self, name: str, uid: str) -> bool:
        """Delete a batch of a tenant's rows, and see to it that the next follows. Returns whether no row is left."""
        # Before each batch: a replica that is late may have made the row again, without the mark.
        await functions.mark_tenant_deleted(self._database, UUID(uid))
        begun = monotonic()
        batch = await functions.delete_tenant(self._database, UUID(uid), max_rows=self._batch_rows)
        progress = self._progress(name, uid)
        progress.add(batch.deleted)
        now = monotonic()
        if not batch.done:
            self._later(name, progress.pause(now - begun))
        if now - progress.logged > PROGRESS_SECONDS:
            progress.logged = now
            log.info("rows of the tenant are being deleted", tenant=name, rows=progress.rows)
        return batch.done


def _finalizers(tenant: Object, finalizers: list[str]) -> Object:
    """The fields of a Tenant that the api applies. With the uid they never apply to a successor of the same name."""
    meta = {"name": tenant["metadata"]["name"], "uid": tenant["metadata"]["uid"]}
    if finalizers:
        meta["finalizers"] = finalizers
    return {"apiVersion": API_VERSION, "kind": Tenant.kind_name, "metadata": meta}
