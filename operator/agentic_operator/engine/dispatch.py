"""From a change of a watched object to the keys it concerns; every watch reports here, the queue gets the keys."""

from collections.abc import Callable, Mapping
from typing import Any

from agentic_core import names
from agentic_core.cluster import kinds
from agentic_core.cluster.kinds import Kind, Object, Ref
from agentic_operator.engine.children import Children
from agentic_operator.engine.controller import Controller
from agentic_operator.engine.index import Change, Index
from agentic_operator.engine.queue import Priority, Queue


class Tenants:
    """Which tenant a key counts for, when the queue shares out turns."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, str] = {}

    def of(self, ref: Ref) -> str:
        """The tenant of the namespace, else the namespace itself, else the name of a cluster-scoped object."""
        namespace = ref.namespace or ref.name
        return self._by_namespace.get(namespace, namespace)

    def learn(self, change: Change) -> None:
        """A namespace came, went or changed its label."""
        tenant = (change.obj["metadata"].get("labels") or {}).get(names.TENANT)
        if tenant and change.after:
            self._by_namespace[change.ref.name] = tenant
        else:
            self._by_namespace.pop(change.ref.name, None)


class Dispatcher:
    """Tells the queue what each change concerns."""

    def __init__(
        self,
        index: Index,
        queue: Queue,
        *,
        tenants: Tenants,
        controllers: Mapping[Kind, Controller[Any, Any]],
        children: Children,
    ) -> None:
        self._index = index
        self._queue = queue
        self._tenants = tenants
        self._controllers = controllers
        self._children = children
        self._live = False
        index.on_written = self.written

    def start(self) -> None:
        """All watches have told what exists: queue it, and from now on what changes."""
        for kind in self._controllers:
            for ref in self._index.refs(kind):
                self._queue.add(ref, Priority.BACKLOG)
        self._live = True

    def changed(self, change: Change | None) -> None:
        """An object came, changed or went."""
        if change is None:
            return
        if change.ref.kind == kinds.NAMESPACE:
            self._tenants.learn(change)
        if self._live:
            self._route(change)

    def written(self, change: Change) -> None:
        """We wrote an object ourselves. Its owner knows, others may not; and no watch will tell of it any more."""
        if change.ref.kind == kinds.NAMESPACE:
            self._tenants.learn(change)
        if not self._live:
            return
        if change.ref.kind in self._controllers and change.edited:
            self._queue.add(change.ref, Priority.EDIT)
        self._relate(change)

    def _route(self, change: Change) -> None:
        if change.ref.kind in self._controllers:
            self._queue.add(change.ref, Priority.EDIT if change.edited else Priority.EVENT)
        for entry in (change.before, change.after):
            if entry and entry.owner:
                self._queue.add(entry.owner)
        if change.after is None and change.before and change.before.owner:
            self._children.lost(change.ref)
        self._relate(change)

    def _relate(self, change: Change) -> None:
        for controller in self._controllers.values():
            for key in controller.related(change.obj, self._index):
                self._queue.add(key)


class KindSink:
    """What a reflector of one kind feeds."""

    def __init__(self, kind: Kind, index: Index, changed: Callable[[Change | None], None]) -> None:
        self._kind = kind
        self._index = index
        self._changed = changed

    def put(self, obj: Object) -> None:
        """The object is there."""
        self._changed(self._index.put(obj))

    def drop(self, obj: Object) -> None:
        """The object was deleted."""
        self._changed(self._index.drop(obj))

    def bookmark(self, version: int) -> None:
        """Everything up to this version has been told."""
        self._index.bookmark(self._kind, version)

    def retain(self, refs: set[Ref], version: int) -> None:
        """Of what is not newer than `version`, only these exist."""
        self._index.bookmark(self._kind, version)
        for ref in self._index.stale(self._kind, refs, version):
            self._changed(self._index.evict(ref))
