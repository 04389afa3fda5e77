"""The kinds that a program holds in memory: a store for each, and the watches that keep them up to date.

The composition roots of api and gateway start them.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from agentic_core.cluster.client import Cluster
from agentic_core.cluster.kinds import custom
from agentic_core.cluster.store import OnChange, Store
from agentic_core.cluster.watch import Reflector
from agentic_core.tasks import background
from agentic_crds import KINDS, Access, KindEntry, Resource

Stores = Mapping[type[Resource], Store]
"""By the model of the kind."""


def stores(access: Callable[[KindEntry], Access], on_change: Mapping[type[Resource], OnChange]) -> Stores:
    """A store for each registered kind that the program may watch."""
    return {
        entry.model: Store(custom(entry.model), on_change.get(entry.model)) for entry in KINDS if access(entry).watches
    }


class Watches:
    """One watch for each store."""

    def __init__(self, cluster: Cluster, stores: Iterable[Store]) -> None:
        self._reflectors = [Reflector(cluster=cluster, kind=store.kind, sink=store) for store in stores]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def synced(self) -> bool:
        """Whether the stores have everything that existed at the start, and are being kept up to date."""
        complete = all(reflector.synced.is_set() for reflector in self._reflectors)
        return complete and not any(task.done() for task in self._tasks)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Keep the stores up to date inside the block."""
        async with background(*(reflector.run() for reflector in self._reflectors)) as self._tasks:
            yield
