"""The objects of one kind in memory: compact, by namespace in the order of their names, never older than seen before.

A reflector fills it, and whoever has just written through the API server; the api's catalog and the gateway read it.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping

import orjson

from agentic_core import telemetry
from agentic_core.cluster.kinds import Kind, Object, Ref

OnChange = Callable[[Ref, Object | None], None]
"""Called with each object that appeared or changed, and with None for one that was deleted."""
NONE: Mapping[str, tuple[int, bytes]] = {}

log = telemetry.logger(__name__)


class Store:
    """The objects of `kind`. Kept as JSON: a tenth of the memory of parsed objects.

    A change is reported once, whether a watch or `put` after a write brings it. Cluster-scoped objects are in the
    namespace "".
    """

    def __init__(self, kind: Kind, on_change: OnChange | None = None) -> None:
        self.kind = kind
        self._on_change = on_change
        self._namespaces: dict[str, dict[str, tuple[int, bytes]]] = {}
        """The resourceVersion and the JSON of each object."""
        self._sorted: dict[str, list[str]] = {}
        """Sorted names of a namespace, made when they are listed."""
        self._removed: dict[tuple[str, str], int] = {}
        """Objects that were removed here before the watch reported it, with the version that they had."""

    def get(self, namespace: str, name: str) -> Object | None:
        """An object, parsed: the caller's own copy."""
        entry = self._namespaces.get(namespace, NONE).get(name)
        return orjson.loads(entry[1]) if entry else None

    def version(self, namespace: str, name: str) -> int | None:
        """The resourceVersion of an object: a cheap way to see whether it has changed."""
        entry = self._namespaces.get(namespace, NONE).get(name)
        return entry[0] if entry else None

    def names(self, namespace: str, *, after: str | None = None) -> list[str]:
        """Sorted names of a namespace that follow `after`."""
        found = self._sorted.get(namespace)
        if found is None:
            found = self._sorted[namespace] = sorted(self._namespaces.get(namespace, ()))
        return found[bisect_right(found, after) :] if after is not None else found

    def put(self, obj: Object) -> None:
        """Keep an object, unless this version of it or a newer one is here."""
        namespace, name, version = _key(obj)
        if version <= self._removed.get((namespace, name), -1):
            return
        entries = self._namespaces.setdefault(namespace, {})
        before = entries.get(name)
        if before is None:
            self._sorted.pop(namespace, None)
        elif before[0] >= version:
            return
        obj["metadata"].pop("managedFields", None)
        entries[name] = (version, compact(obj))
        self._report(namespace, name, obj)

    def remove_ahead(self, namespace: str, name: str) -> None:
        """The object was deleted by this program; the watch will report it later."""
        version = self.version(namespace, name)
        if version is not None:
            self._removed[namespace, name] = version
            self._remove(namespace, name)

    def drop(self, obj: Object) -> None:
        """The watch reports that the object was deleted."""
        namespace, name, version = _key(obj)
        self._removed.pop((namespace, name), None)
        here = self.version(namespace, name)
        if here is not None and here <= version:
            self._remove(namespace, name)

    def bookmark(self, version: int) -> None:
        """The watch has reported everything up to this version: nothing here depends on it."""

    def retain(self, refs: set[Ref], version: int) -> None:
        """A list at this version has only these objects. What was written from here since then is newer and stays."""
        kept = {(ref.namespace or "", ref.name) for ref in refs}
        here = [(space, name, at) for space, entries in self._namespaces.items() for name, (at, _) in entries.items()]
        for namespace, name, at in here:
            if (namespace, name) not in kept and at <= version:
                self._remove(namespace, name)
        self._removed = {key: at for key, at in self._removed.items() if key in kept}

    def _remove(self, namespace: str, name: str) -> None:
        self._namespaces[namespace].pop(name, None)
        self._sorted.pop(namespace, None)
        self._report(namespace, name, None)

    def _report(self, namespace: str, name: str, obj: Object | None) -> None:
        """An error about one object stays with this object: the watch goes on for all others."""
        if self._on_change is None:
            return
        try:
            self._on_change(self.kind.ref(name, namespace or None), obj)
        except Exception:
            log.exception("object not usable", kind=self.kind.name, namespace=namespace, name=name)


def compact(obj: Object) -> bytes:
    """The object as JSON in memory of its own size: that of orjson's result has room for some kilobytes more."""
    return bytes(memoryview(orjson.dumps(obj)))


def _key(obj: Object) -> tuple[str, str, int]:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"], int(meta.get("resourceVersion") or 0)
