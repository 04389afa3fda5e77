"""The watched objects in memory, with secondary indexes: observations read it, watches and our own writes feed it.

Objects are kept as compact JSON and parsed on each read: ten thousand of them as dicts would be most of the operator's
memory, and a parse costs ten microseconds. What a read gives may therefore be changed freely.

Invariants, since watches and responses of writes arrive in any order: an object's version only grows; a write's
response does not bring back an object that its watch has already seen end; a deletion ends only the object of its uid.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson

from agentic_core import names
from agentic_core.cluster.kinds import LOCAL, NAMESPACE, Kind, Object, Ref, ref_of
from agentic_core.cluster.store import compact
from agentic_operator.engine.key import ReconcileKey

KeyT = TypeVar("KeyT")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A secondary index: `keys(obj)` are the values under which an object of `kind` is found."""

    kind: Kind
    name: str
    keys: Callable[[Object], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number that each object of `kind` has, of which the index keeps the sum for each namespace."""

    kind: Kind
    of: Callable[[Object], int]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One object with what the engine reads most."""

    uid: str
    version: int
    generation: int
    owner: ReconcileKey | None
    """The owner that its labels name; `Index.owns` says whether that counts."""
    found: tuple[tuple[str, str], ...]
    """Lookups and the values under which they find it, so that removing it computes nothing."""
    data: bytes
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What a put or a drop did."""

    ref: Ref
    obj: Object
    before: IndexEntry | None
    after: IndexEntry | None

    @property
    def was(self) -> Object | None:
        """The object before, parsed."""
        return orjson.loads(self.before.data) if self.before else None

    @property
    def edited(self) -> bool:
        """Whether the spec changed, rather than the status."""
        return self.before is None or self.after is None or self.before.generation != self.after.generation

    def matters(self, fingerprint: Callable[[Object], Hashable]) -> bool:
        """Whether the fingerprint of the object changed; that it came or went always matters."""
        if self.after is None or (was := self.was) is None:
            return True
        return fingerprint(was) != fingerprint(self.obj)


class Index:
    """All watched objects. `owners` maps what children's labels say, the kind of the owner and the label of its
    controller, to the controller's name and the kind. Of kinds in `metadata_only` the contents are left out, whether
    a watch or the response of a write brings them."""

    def __init__(
        self,
        owners: Mapping[tuple[str, str], tuple[str, Kind]] | None = None,
        lookups: Iterable[Lookup] = (),
        *,
        metadata_only: Iterable[Kind] = (),
        amounts: Iterable[Amount] = (),
    ) -> None:
        self.metadata_only = frozenset(metadata_only)
        self._owners = owners or {}
        self._lookups: dict[Kind, list[Lookup]] = defaultdict(list)
        for lookup in {(lookup.kind, lookup.name): lookup for lookup in lookups}.values():
            self._lookups[lookup.kind].append(lookup)
        self._amounts = {amount.kind: amount.of for amount in amounts}
        self._totals: Counter[tuple[Kind, str]] = Counter()
        self._objects: dict[Kind, dict[Ref, IndexEntry]] = defaultdict(dict)
        self._children: dict[ReconcileKey, set[Ref]] = defaultdict(set)
        self._found: dict[tuple[Kind, str, str], set[Ref]] = defaultdict(set)
        self._watched: dict[tuple[Kind, str], int] = defaultdict(int)
        """By kind and cluster the version up to which the watch has delivered all events."""

    def get(self, ref: Ref) -> Object | None:
        """The object, or None."""
        entry = self._objects[ref.kind].get(ref)
        return orjson.loads(entry.data) if entry else None

    def entry(self, ref: Ref) -> IndexEntry | None:
        """The object unparsed, or None."""
        return self._objects[ref.kind].get(ref)

    def versions(self, refs: Iterable[Ref]) -> list[int]:
        """The resource versions of objects, 0 for those that do not exist."""
        entries = (self._objects[ref.kind].get(ref) for ref in refs)
        return [entry.version if entry else 0 for entry in entries]

    def refs(self, kind: Kind) -> list[Ref]:
        """All objects of a kind."""
        return list(self._objects[kind])

    def by(self, kind: Kind, lookup: str, value: str) -> list[Ref]:
        """The objects of `kind` that `lookup` finds under `value`, sorted by name."""
        found = self._found.get((kind, lookup, value), ())
        return sorted(found, key=lambda ref: (ref.namespace or "", ref.name))

    def any(self, kind: Kind, lookup: str, value: str) -> bool:
        """Whether `by` would find something."""
        return bool(self._found.get((kind, lookup, value)))

    def total(self, kind: Kind, namespace: str) -> int:
        """The sum of the `Amount` of the kind's objects in a namespace."""
        return self._totals[kind, namespace]

    def children(self, owner: ReconcileKey) -> list[Ref]:
        """Objects that were made for `owner`, by their labels and their namespace."""
        return [ref for ref in self._children.get(owner, ()) if self.owns(owner, ref)]

    def owns(self, owner: ReconcileKey, ref: Ref) -> bool:
        """Whether the object's labels name this owner and it is where this owner's objects are.

        Tenants may label what is in their namespaces; that must not make it another's business. The objects of a
        namespaced owner are in its own namespace, those of a cluster-scoped one in namespaces that it owns or is.
        """
        entry = self.entry(ref)
        return bool(entry and entry.owner == owner and self.namespace_fits(owner, ref))

    def namespace_fits(self, owner: ReconcileKey, ref: Ref) -> bool:
        """Whether an object of this namespace can be the owner's."""
        if owner.ref.kind.namespaced:
            return owner.ref.namespace is not None and owner.ref.namespace == ref.namespace
        namespace = NAMESPACE.ref(ref.namespace, cluster=ref.cluster) if ref.namespace else None
        return namespace in (None, owner.ref) or self.owned_namespace(owner.ref, namespace)

    def owned_namespace(self, owner: Ref, namespace: Ref) -> bool:
        """Whether a namespace's labels name this owner, by whichever of its controllers."""
        entry = self.entry(namespace)
        return bool(entry and entry.owner and entry.owner.ref == owner)

    def put(self, obj: Object, cluster: str = LOCAL) -> Change | None:
        """The object exists, as its watch delivers it. None when that is not new."""
        ref = ref_of(obj, cluster)
        version = int(obj["metadata"]["resourceVersion"])
        self.bookmark(ref.kind, version, cluster)
        return self._put(ref, version, obj)

    def put_written(self, obj: Object, cluster: str = LOCAL) -> Change | None:
        """The object was just written by us: it is visible at once, so that the next reconcile need not wait for the
        watch. Not when the watch has already delivered a later moment at which it did not exist any more."""
        ref, version = ref_of(obj, cluster), int(obj["metadata"]["resourceVersion"])
        if ref in self._objects[ref.kind] or version > self._watched[ref.kind, cluster]:
            return self._put(ref, version, obj)
        return None

    def drop(self, obj: Object, cluster: str = LOCAL) -> Change | None:
        """The object was deleted. None when it is unknown or has a successor of the same name."""
        ref = ref_of(obj, cluster)
        self.bookmark(ref.kind, int(obj["metadata"]["resourceVersion"]), cluster)
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

    def bookmark(self, kind: Kind, version: int, cluster: str = LOCAL) -> None:
        """The watch of `kind` has delivered everything up to `version`."""
        self._watched[kind, cluster] = max(self._watched[kind, cluster], version)

    def stale(self, kind: Kind, refs: set[Ref], *, version: int, cluster: str = LOCAL) -> list[Ref]:
        """Objects that a list at `version` did not have, and that are not newer than it."""
        entries = self._objects[kind].items()
        return [
            ref for ref, entry in entries if ref not in refs and entry.version <= version and ref.cluster == cluster
        ]

    def _put(self, ref: Ref, version: int, obj: Object) -> Change | None:
        """A lookup that cannot read the object raises before anything is changed: the old state stays."""
        before = self._objects[ref.kind].get(ref)
        if before and before.version >= version:
            return None
        obj = trimmed(obj)
        if ref.kind in self.metadata_only:
            obj = {key: obj[key] for key in ("apiVersion", "kind", "metadata")}
        after = self._entry(ref, version, obj)
        if before:
            self._unlink(ref, before)
        self._objects[ref.kind][ref] = after
        self._link(ref, after)
        return Change(ref, obj, before, after)

    def _entry(self, ref: Ref, version: int, obj: Object) -> IndexEntry:
        metadata = obj["metadata"]
        found = tuple(
            (lookup.name, sys.intern(value)) for lookup in self._lookups[ref.kind] for value in lookup.keys(obj)
        )
        owner = self._owner(metadata.get("labels") or {})
        amount = self._amounts[ref.kind](obj) if ref.kind in self._amounts else 0
        generation = metadata.get("generation", 0)
        return IndexEntry(metadata["uid"], version, generation, owner, found, compact(obj), amount)

    def _owner(self, labels: Mapping[str, str]) -> ReconcileKey | None:
        """Users may write labels: half of an owner's name is none, and neither is an unknown controller."""
        name = labels.get(names.OWNER_NAME)
        found = self._owners.get((labels.get(names.OWNER_KIND, ""), labels.get(names.OWNER_CONTROLLER, "")))
        if found is None or not name:
            return None
        controller, kind = found
        return ReconcileKey(controller, kind.ref(name, labels.get(names.OWNER_NAMESPACE)))

    def _link(self, ref: Ref, entry: IndexEntry) -> None:
        if entry.amount:
            self._totals[ref.kind, ref.namespace or ""] += entry.amount
        if entry.owner:
            self._children[entry.owner].add(ref)
        for lookup, value in entry.found:
            self._found[ref.kind, lookup, value].add(ref)

    def _unlink(self, ref: Ref, entry: IndexEntry) -> None:
        if entry.amount:
            self._totals[ref.kind, ref.namespace or ""] -= entry.amount
        if entry.owner:
            _discard(self._children, entry.owner, ref)
        for lookup, value in entry.found:
            _discard(self._found, (ref.kind, lookup, value), ref)


def _discard(sets: dict[KeyT, set[Ref]], key: KeyT, ref: Ref) -> None:
    sets[key].discard(ref)
    if not sets[key]:
        del sets[key]


def trimmed(obj: Object) -> Object:
    """The object without what is large and nothing here reads."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    return obj | {"metadata": metadata}
