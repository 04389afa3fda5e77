"""The objects of one kind in memory, kept up to date by a watch; the api and the gateway read it on each request."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Literal

from agentic_core import telemetry
from agentic_core.cluster.client import Cluster
from agentic_core.cluster.kinds import Kind, Object, Ref
from agentic_core.cluster.watch import Reflector

log = telemetry.logger(__name__)

Change = Callable[[Literal["ADDED", "MODIFIED", "DELETED"], Object], None]


class WatchCache:
    """Read with `get` and `list` once `synced` is set. The objects are shared: treat them as read-only."""

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str = "",
        metadata_only: bool = False,
        on_event: Change | None = None,
    ) -> None:
        self._objects: dict[Ref, Object] = {}
        self._kind = kind
        self._on_event = on_event
        self._reflector = Reflector(
            cluster=cluster, kind=kind, sink=self, namespace=namespace, labels=labels, metadata_only=metadata_only
        )

    @property
    def synced(self) -> asyncio.Event:
        """Set once everything that existed at the start is here."""
        return self._reflector.synced

    async def run(self) -> None:
        """Keep the cache up to date, for ever. Run it as a task."""
        await self._reflector.run()

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        """The object of this name."""
        return self._objects.get(self._kind.ref(name, namespace))

    def list(self, namespace: str | None = None) -> Iterator[Object]:
        """All objects, of one namespace if given."""
        return (obj for ref, obj in self._objects.items() if namespace in (None, ref.namespace))

    def put(self, obj: Object) -> None:
        """Called by the reflector."""
        ref = self._ref(obj)
        known = self._objects.get(ref)
        if known and known["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]:
            return
        obj["metadata"].pop("managedFields", None)
        self._objects[ref] = obj
        self._tell("MODIFIED" if known else "ADDED", obj)

    def drop(self, obj: Object) -> None:
        """Called by the reflector."""
        if self._objects.pop(self._ref(obj), None) is not None:
            self._tell("DELETED", obj)

    def bookmark(self, version: int) -> None:
        """Called by the reflector; the cache has no use for it."""

    def retain(self, refs: set[Ref], version: int) -> None:
        """Called by the reflector."""
        for ref in self._objects.keys() - refs:
            self._tell("DELETED", self._objects.pop(ref))

    def _ref(self, obj: Object) -> Ref:
        return self._kind.ref(obj["metadata"]["name"], obj["metadata"].get("namespace"))

    def _tell(self, change: Literal["ADDED", "MODIFIED", "DELETED"], obj: Object) -> None:
        """What one object breaks stays with this object: the watch goes on for all others."""
        if self._on_event:
            try:
                self._on_event(change, obj)
            except Exception:
                ref = self._ref(obj)
                log.exception("cannot take in", kind=ref.kind.name, namespace=ref.namespace or "", name=ref.name)
