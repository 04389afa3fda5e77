"""The watched objects in memory, with secondary indexes: observations read it, watches and our own writes feed it.

Objects are kept as compact JSON and parsed on each read: ten thousand of them as dicts would be most of the operator's
memory, and a parse costs ten microseconds. What a read gives may therefore be changed freely.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, Kind, Object, Ref, ref_of

KeyT = TypeVar("KeyT")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A secondary index: `keys(obj)` are the values under which an object of `kind` is found."""

    kind: Kind
    name: str
    keys: Callable[[Object], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One object with what the engine asks for most."""

    uid: str
    version: int
    generation: int
    owner: Ref | None
    """Whom its labels name; `Index.owns` says whether that counts."""
    found: tuple[tuple[str, str], ...]
    """Lookups and the values under which they find it, so that taking it out again computes nothing."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What a put or a drop did."""

    ref: Ref
    obj: Object
    before: Entry | None
    after: Entry | None

    @property
    def was(self) -> Object | None:
        """The object before, parsed."""
        return orjson.loads(self.before.data) if self.before else None

    @property
    def edited(self) -> bool:
        """Whether somebody changed what is wanted, rather than the status."""
        return self.before is None or self.after is None or self.before.generation != self.after.generation


class Index:
    """All watched objects. `owners` are the primary kinds by name, so that labels of children name their owner."""

    def __init__(self, owners: Iterable[Kind] = (), lookups: Iterable[Lookup] = ()) -> None:
        self._owners: Mapping[str, Kind] = {kind.name: kind for kind in owners}
        self._lookups: dict[Kind, list[Lookup]] = defaultdict(list)
        for lookup in {(lookup.kind, lookup.name): lookup for lookup in lookups}.values():
            self._lookups[lookup.kind].append(lookup)
        self._objects: dict[Kind, dict[Ref, Entry]] = defaultdict(dict)
        self._children: dict[Ref, set[Ref]] = defaultdict(set)
        self._found: dict[tuple[Kind, str, str], set[Ref]] = defaultdict(set)
        self._told: dict[Kind, int] = defaultdict(int)
        self.on_written: Callable[[Change], None] = _ignore
        """Told of each `put_written` that was news. What others changed just before may be among it."""

    def get(self, ref: Ref) -> Object | None:
        """The object, or None."""
        entry = self._objects[ref.kind].get(ref)
        return orjson.loads(entry.data) if entry else None

    def entry(self, ref: Ref) -> Entry | None:
        """The object unparsed, or None."""
        return self._objects[ref.kind].get(ref)

    def versions(self, refs: Iterable[Ref]) -> list[int]:
        """The resource versions of objects, 0 for those that are not there."""
        entries = (self._objects[ref.kind].get(ref) for ref in refs)
        return [entry.version if entry else 0 for entry in entries]

    def refs(self, kind: Kind) -> list[Ref]:
        """All objects of a kind."""
        return list(self._objects[kind])

    def objects(self, kind: Kind, namespace: str | None = None) -> Iterator[Object]:
        """All objects of a kind, parsed one by one; for few objects only, else ask a lookup."""
        for ref, entry in list(self._objects[kind].items()):
            if namespace in (None, ref.namespace):
                yield orjson.loads(entry.data)

    def by(self, kind: Kind, lookup: str, value: str) -> list[Ref]:
        """The objects of `kind` that `lookup` finds under `value`, sorted by name."""
        found = self._found.get((kind, lookup, value), ())
        return sorted(found, key=lambda ref: (ref.namespace or "", ref.name))

    def any(self, kind: Kind, lookup: str, value: str) -> bool:
        """Whether `by` would find something."""
        return bool(self._found.get((kind, lookup, value)))

    def children(self, owner: Ref) -> list[Ref]:
        """Objects that were made for `owner`, by their labels and their place."""
        return [ref for ref in self._children.get(owner, ()) if self.owns(owner, ref)]

    def owns(self, owner: Ref, ref: Ref) -> bool:
        """Whether the object's labels name this owner and it is where this owner's objects are.

        Tenants may label what is in their namespaces; that must not make it another's business. The objects of a
        namespaced owner are in its own namespace, those of a cluster-scoped one in namespaces that it owns or is.
        """
        entry = self.entry(ref)
        return bool(entry and entry.owner == owner and self.place_fits(owner, ref))

    def place_fits(self, owner: Ref, ref: Ref) -> bool:
        """Whether an object in this place can be the owner's."""
        if owner.kind.namespaced:
            return owner.namespace is not None and owner.namespace == ref.namespace
        place = NAMESPACE.ref(ref.namespace) if ref.namespace else None
        return place in (None, owner) or self.owns(owner, place)

    def put(self, obj: Object) -> Change | None:
        """The object is there, says its watch. None when that is nothing new."""
        ref = ref_of(obj)
        version = int(obj["metadata"]["resourceVersion"])
        self.bookmark(ref.kind, version)
        return self._put(ref, version, obj)

    def put_written(self, obj: Object) -> None:
        """The object was just written by us: known at once, so that the next reconcile need not wait for the watch.

        Not when the watch has already told of a later moment at which it did not exist any more.
        """
        ref, version = ref_of(obj), int(obj["metadata"]["resourceVersion"])
        if ref in self._objects[ref.kind] or version > self._told[ref.kind]:
            change = self._put(ref, version, obj)
            if change:
                self.on_written(change)

    def drop(self, obj: Object) -> Change | None:
        """The object was deleted, says its watch. None when it is unknown or has a successor of the same name."""
        ref = ref_of(obj)
        self.bookmark(ref.kind, int(obj["metadata"]["resourceVersion"]))
        before = self._objects[ref.kind].get(ref)
        if before is None or before.uid != obj["metadata"]["uid"]:
            return None
        return self.evict(ref)

    def evict(self, ref: Ref) -> Change | None:
        """The object does not exist any more."""
        before = self._objects[ref.kind].pop(ref, None)
        if before is None:
            return None
        self._unlink(ref, before)
        return Change(ref, orjson.loads(before.data), before, None)

    def bookmark(self, kind: Kind, version: int) -> None:
        """The watch of `kind` has told everything up to `version`."""
        self._told[kind] = max(self._told[kind], version)

    def stale(self, kind: Kind, refs: set[Ref], version: int) -> list[Ref]:
        """Objects that a list at `version` did not have, and that are not newer than it."""
        return [ref for ref, entry in self._objects[kind].items() if ref not in refs and entry.version <= version]

    def _put(self, ref: Ref, version: int, obj: Object) -> Change | None:
        """A lookup that cannot read the object raises before anything is changed: the old state stays."""
        before = self._objects[ref.kind].get(ref)
        if before and before.version >= version:
            return None
        obj = trimmed(obj)
        after = self._entry(ref, version, obj)
        if before:
            self._unlink(ref, before)
        self._objects[ref.kind][ref] = after
        self._link(ref, after)
        return Change(ref, obj, before, after)

    def _entry(self, ref: Ref, version: int, obj: Object) -> Entry:
        metadata = obj["metadata"]
        found = tuple(
            (lookup.name, sys.intern(value)) for lookup in self._lookups[ref.kind] for value in lookup.keys(obj)
        )
        owner = self._owner(metadata.get("labels") or {})
        return Entry(metadata["uid"], version, metadata.get("generation", 0), owner, found, orjson.dumps(obj))

    def _owner(self, labels: Mapping[str, str]) -> Ref | None:
        """Anybody may write labels: half of an owner's name is none."""
        kind, name = self._owners.get(labels.get(names.OWNER_KIND, "")), labels.get(names.OWNER_NAME)
        return kind.ref(name, labels.get(names.OWNER_NAMESPACE)) if kind and name else None

    def _link(self, ref: Ref, entry: Entry) -> None:
        if entry.owner:
            self._children[entry.owner].add(ref)
        for lookup, value in entry.found:
            self._found[ref.kind, lookup, value].add(ref)

    def _unlink(self, ref: Ref, entry: Entry) -> None:
        if entry.owner:
            _discard(self._children, entry.owner, ref)
        for lookup, value in entry.found:
            _discard(self._found, (ref.kind, lookup, value), ref)


def _ignore(_change: Change) -> None:
    """Nobody wants to know."""


def _discard(sets: dict[KeyT, set[Ref]], key: KeyT, ref: Ref) -> None:
    sets[key].discard(ref)
    if not sets[key]:
        del sets[key]


def trimmed(obj: Object) -> Object:
    """The object without what nobody here reads and what is large."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    return obj | {"metadata": metadata}
