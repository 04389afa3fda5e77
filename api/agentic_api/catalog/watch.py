"""Fills the catalog from an API server and says when it is complete; the composition root runs it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentic_api.catalog.catalog import Catalog
from agentic_core.cluster import Cluster, Reflector
from agentic_core.cluster.kinds import custom
from agentic_crds import Agent, AgentRevision, Tenant


class Watch:
    """The three watches behind the catalog."""

    def __init__(self, cluster: Cluster, catalog: Catalog) -> None:
        stores = ((Tenant, catalog.tenants), (AgentRevision, catalog.revisions), (Agent, catalog.agents))
        self._reflectors = [Reflector(cluster=cluster, kind=custom(kind), sink=store) for kind, store in stores]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def synced(self) -> bool:
        """Whether the catalog has everything that existed at the start, and is being kept up to date."""
        complete = all(reflector.synced.is_set() for reflector in self._reflectors)
        return complete and not any(task.done() for task in self._tasks)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Keep the catalog up to date inside the block."""
        self._tasks = [asyncio.create_task(reflector.run()) for reflector in self._reflectors]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
