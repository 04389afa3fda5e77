"""From a change of a watched object to the keys it concerns; every watch reports here, the queue gets the keys."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from agentic_core import names, telemetry
from agentic_core.cluster import kinds
from agentic_core.cluster.kinds import Kind, Object, Ref, ref_of
from agentic_operator.engine.children import Children
from agentic_operator.engine.controller import Controller
from agentic_operator.engine.index import Change, Entry, Index
from agentic_operator.engine.queue import Priority, Queue

T = TypeVar("T")
log = telemetry.logger(__name__)


class Isolation:
    """Keeps what one object's content breaks to this object: the watch that told of it goes on for all others."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count

    def failed(self, ref: Ref, failure: Exception) -> None:
        """A change of this object could not be taken in: log it and count it."""
        kind = ref.kind.name
        log.error("cannot take in", kind=kind, namespace=ref.namespace or "", name=ref.name, exc_info=failure)
        self._count(kind)


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
        isolation: Isolation,
    ) -> None:
        self._isolation = isolation
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
        if change.ref.kind in self._controllers and not self._own_status(change):
            self._queue.add(change.ref, Priority.EDIT if change.edited else Priority.EVENT)
        if change.after is None or not self._children.is_writing(change.obj):
            for entry in (change.before, change.after):
                if owner := self._owner(entry, change.ref):
                    self._queue.add(owner)
        if change.after is None and (owner := self._owner(change.before, change.ref)):
            self._children.lost(change.ref, owner)
        self._relate(change)

    def _owner(self, entry: Entry | None, ref: Ref) -> Ref | None:
        owner = entry.owner if entry else None
        return owner if owner and self._index.place_fits(owner, ref) else None

    def _relate(self, change: Change) -> None:
        for controller in self._controllers.values():
            try:
                for key in controller.related(change, self._index):
                    self._queue.add(key)
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is logged
                self._isolation.failed(change.ref, failure)

    def _own_status(self, change: Change) -> bool:
        """Whether only the status changed while its key is in flight: our own write, told before its answer came."""
        if change.edited or not self._queue.in_flight(change.ref) or (was := change.was) is None:
            return False
        return _wish(change.obj) == _wish(was)


def _wish(obj: Object) -> Object:
    """All that is not status."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {key: value for key, value in obj.items() if key != "status"} | {"metadata": metadata}


class KindSink:
    """What the watch of one kind feeds. Nothing that is in an object ends it."""

    def __init__(
        self, kind: Kind, index: Index, changed: Callable[[Change | None], None], *, isolation: Isolation
    ) -> None:
        self._kind = kind
        self._index = index
        self._changed = changed
        self._isolation = isolation

    def put(self, obj: Object) -> None:
        """The object is there."""
        self._take(ref_of(obj), self._index.put, obj)

    def knows(self, obj: Object) -> bool:
        """Whether the index has this version of the object, or a newer one."""
        entry = self._index.entry(ref_of(obj))
        metadata = obj["metadata"]
        return bool(entry and entry.uid == metadata["uid"] and entry.version >= int(metadata["resourceVersion"]))

    def drop(self, obj: Object) -> None:
        """The object was deleted."""
        self._take(ref_of(obj), self._index.drop, obj)

    def bookmark(self, version: int) -> None:
        """Everything up to this version has been told."""
        self._index.bookmark(self._kind, version)

    def retain(self, refs: set[Ref], version: int) -> None:
        """Of what is not newer than `version`, only these exist."""
        self._index.bookmark(self._kind, version)
        for ref in self._index.stale(self._kind, refs, version):
            self.gone(ref)

    def missing(self, refs: set[Ref]) -> list[Ref]:
        """What the index has beside these."""
        return [ref for ref in self._index.refs(self._kind) if ref not in refs]

    def gone(self, ref: Ref) -> None:
        """The object does not exist any more."""
        self._take(ref, self._index.evict, ref)

    def _take(self, ref: Ref, change: Callable[[T], Change | None], news: T) -> None:
        try:
            self._changed(change(news))
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is logged
            self._isolation.failed(ref, failure)
