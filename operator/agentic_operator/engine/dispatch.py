"""From a change of an object to the keys that it concerns; watches and our own writes report to it."""

from collections.abc import Callable
from functools import partial

from agentic_core import names, telemetry
from agentic_core.cluster import kinds
from agentic_core.cluster.kinds import LOCAL, Kind, Object, Ref, ref_of
from agentic_operator.engine.controller import AnyController, Controllers
from agentic_operator.engine.index import Change, Index, IndexEntry
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.queue import Priority, Queue

log = telemetry.logger(__name__)


class Isolation:
    """Confines what one object's content breaks to this object: its watch continues for all others."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count

    def failed(self, ref: Ref, failure: Exception) -> None:
        """A change of this object could not be processed: log it and count it."""
        kind = ref.kind.name
        log.error("change rejected", kind=kind, namespace=ref.namespace or "", name=ref.name, exc_info=failure)
        self._count(kind)


class Tenants:
    """Which tenant a key counts for, when the queue shares out turns."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, str] = {}

    def of(self, key: ReconcileKey) -> str:
        """The tenant of the namespace, else the namespace itself, else the name of a cluster-scoped object."""
        namespace = key.ref.namespace or key.ref.name
        return self._by_namespace.get(namespace, namespace)

    def update(self, change: Change) -> None:
        """A namespace came, went or changed its label."""
        tenant = (change.obj["metadata"].get("labels") or {}).get(names.TENANT)
        if tenant and change.after:
            self._by_namespace[change.ref.name] = tenant
        else:
            self._by_namespace.pop(change.ref.name, None)


class Dispatcher:
    """Queues the keys that a change concerns. `on_deleted` is called with each child that was deleted and its owner."""

    def __init__(
        self, index: Index, queue: Queue, *, tenants: Tenants, controllers: Controllers, isolation: Isolation
    ) -> None:
        self._index = index
        self._queue = queue
        self._tenants = tenants
        self._controllers = controllers
        self._isolation = isolation
        self._live = False
        self.on_deleted: Callable[[Ref, ReconcileKey], None] = lambda _ref, _owner: None

    def start(self) -> None:
        """All watches have delivered what exists: queue it, and from now on what changes."""
        for controller in self._controllers.all:
            self.queue_all(controller, Priority.BACKLOG)
        self._live = True

    def queue_all(self, controller: AnyController, priority: Priority = Priority.EVENT) -> None:
        """Queue all objects of a controller."""
        for ref in self._index.refs(controller.kind):
            self._queue.add(ReconcileKey(controller.name, ref), priority)

    def dispatch(self, change: Change, author: ReconcileKey | None) -> None:
        """An object came, changed or went. `author` is the key whose reconcile wrote it: it is not queued for its own
        write, unless a user's edit came with it."""
        if change.ref.kind == kinds.NAMESPACE:
            self._tenants.update(change)
        if not self._live:
            return
        for key in self._controllers.keys(change.ref):
            if change.edited or key != author:
                self._queue.add(key, Priority.EDIT if change.edited else Priority.EVENT)
        self._queue_owners(change, author)
        self._queue_related(change)

    def _queue_owners(self, change: Change, author: ReconcileKey | None) -> None:
        owners = [self._owner(entry, change.ref) for entry in (change.before, change.after)]
        for owner in owners:
            if owner and owner != author:
                self._queue.add(owner)
        if change.after is None and (owner := owners[0]):
            self.on_deleted(change.ref, owner)

    def _owner(self, entry: IndexEntry | None, ref: Ref) -> ReconcileKey | None:
        owner = entry.owner if entry else None
        return owner if owner and self._index.namespace_fits(owner, ref) else None

    def _queue_related(self, change: Change) -> None:
        for controller in self._controllers.all:
            try:
                for ref in controller.related(change, self._index):
                    self._queue.add(ReconcileKey(controller.name, ref))
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is logged
                self._isolation.failed(change.ref, failure)


class KindSink:
    """What the watch of one kind feeds. No content of an object ends it."""

    def __init__(
        self,
        kind: Kind,
        index: Index,
        changed: Callable[[Change], None],
        *,
        isolation: Isolation,
        cluster: str = LOCAL,
    ) -> None:
        self._kind = kind
        self._index = index
        self._changed = changed
        self._isolation = isolation
        self._cluster = cluster

    def put(self, obj: Object) -> None:
        """The object exists."""
        self._process(ref_of(obj, self._cluster), lambda: self._index.put(obj, self._cluster))

    def drop(self, obj: Object) -> None:
        """The object was deleted."""
        self._process(ref_of(obj, self._cluster), lambda: self._index.drop(obj, self._cluster))

    def bookmark(self, version: int) -> None:
        """All events up to this version have arrived."""
        self._index.bookmark(self._kind, version, self._cluster)

    def retain(self, refs: set[Ref], version: int) -> None:
        """Of what is not newer than `version`, only these exist."""
        self.bookmark(version)
        for ref in self._index.stale(self._kind, refs, version=version, cluster=self._cluster):
            self._process(ref, partial(self._index.evict, ref))

    def _process(self, ref: Ref, update: Callable[[], Change | None]) -> None:
        try:
            if change := update():
                self._changed(change)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is logged
            self._isolation.failed(ref, failure)
