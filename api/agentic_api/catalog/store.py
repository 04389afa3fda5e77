"""Custom resources as the last watch event left them: compact, sorted, never older than what was seen before.

The catalog reads it; a reflector, and whoever has just written through the API server, fill it.
"""

from bisect import bisect_right
from collections.abc import Callable

import orjson

from agentic_core.cluster.kinds import Object, Ref


class Store:
    """The objects of one kind by namespace and name. Kept as JSON: a tenth of the memory of parsed objects."""

    def __init__(self, on_change: Callable[[str], None] = lambda _name: None) -> None:
        """`on_change` is told the name of each object that appeared, changed or went."""
        self._on_change = on_change
        self._namespaces: dict[str, dict[str, tuple[int, bytes]]] = {}
        self._names: dict[str, list[str]] = {}
        """Sorted names of a namespace, made when asked for."""
        self._deleted: dict[tuple[str, str], int] = {}
        """Objects that were removed here before the watch said so, with the version they had."""

    def get(self, namespace: str, name: str) -> Object | None:
        """An object, parsed."""
        entry = self._namespaces.get(namespace, {}).get(name)
        return orjson.loads(entry[1]) if entry else None

    def version(self, namespace: str, name: str) -> int | None:
        """The resourceVersion of an object: a cheap way to see whether it has changed."""
        entry = self._namespaces.get(namespace, {}).get(name)
        return entry[0] if entry else None

    def put(self, obj: Object) -> None:
        """Keep an object unless a newer version of it is known."""
        namespace, name, version = _key(obj)
        if version <= self._deleted.get((namespace, name), -1):
            return
        entries = self._namespaces.setdefault(namespace, {})
        known = entries.get(name)
        if known is None:
            self._names.pop(namespace, None)
        elif known[0] > version:
            return
        obj["metadata"].pop("managedFields", None)
        entries[name] = (version, orjson.dumps(obj))
        self._on_change(name)

    def drop(self, obj: Object) -> None:
        """The watch says that the object is gone."""
        namespace, name, version = _key(obj)
        self._deleted.pop((namespace, name), None)
        known = self.version(namespace, name)
        if known is not None and known <= version:
            self._forget(namespace, name)
        self._on_change(name)

    def bookmark(self, version: int) -> None:
        """The watch has told everything up to this version: nothing here depends on it."""

    def retain(self, refs: set[Ref], version: int) -> None:
        """A list at this version has only these objects. What was written from here since then is newer and stays."""
        kept = {(ref.namespace or "", ref.name) for ref in refs}
        known = [
            (namespace, name, entry[0])
            for namespace, entries in self._namespaces.items()
            for name, entry in entries.items()
        ]
        for namespace, name, at in known:
            if (namespace, name) not in kept and at <= version:
                self._forget(namespace, name)
                self._on_change(name)
        self._deleted = {key: at for key, at in self._deleted.items() if key in kept}

    def remove_ahead(self, namespace: str, name: str) -> None:
        """The object was deleted from here; the watch will say so later."""
        version = self.version(namespace, name)
        if version is not None:
            self._deleted[namespace, name] = version
            self._forget(namespace, name)

    def names(self, namespace: str, *, after: str | None) -> list[str]:
        """Sorted names of a namespace that follow `after`."""
        found = self._names.get(namespace)
        if found is None:
            found = self._names[namespace] = sorted(self._namespaces.get(namespace, ()))
        return found[bisect_right(found, after) :] if after is not None else found

    def _forget(self, namespace: str, name: str) -> None:
        self._namespaces[namespace].pop(name, None)
        self._names.pop(namespace, None)


def _key(item: Object) -> tuple[str, str, int]:
    meta = item["metadata"]
    return meta.get("namespace", ""), meta["name"], int(meta.get("resourceVersion") or 0)
