"""Makes the children of a resource what they shall be, and writes only what differs. The reconciler calls it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from agentic_core import names
from agentic_core.cluster import Cluster, Recorder, errors, kinds
from agentic_core.cluster.kinds import Kind, Object, Ref, ref_of
from agentic_operator.engine import drift, ownership
from agentic_operator.engine.index import Index


@dataclass(frozen=True, slots=True)
class Refusal:
    """A child that could not be made, for a reason that only a person can change."""

    ref: Ref
    foreign: bool
    message: str


class Children:
    """The children in one cluster."""

    def __init__(self, cluster: Cluster, index: Index, recorder: Recorder) -> None:
        self._cluster = cluster
        self._index = index
        self._recorder = recorder
        self._lost: set[Ref] = set()
        self._pruned: set[Ref] = set()
        self._writing: dict[Ref, str] = {}

    def lost(self, ref: Ref, owner: Ref) -> None:
        """A child was deleted; when not by us nor with its owner, its return is worth an event."""
        if ref in self._pruned:
            self._pruned.discard(ref)
        elif self._index.entry(owner) and not _deleting(self._index.get(owner)):
            self._lost.add(ref)

    def is_writing(self, child: Object) -> bool:
        """Whether this state of the child is what is being written right now, so that its event is no news."""
        return self._writing.get(ref_of(child), "") == _hash(child) != ""

    async def apply(
        self, owner: Object, wanted: Iterable[Object], *, immutable: Collection[Kind] = ()
    ) -> list[Refusal]:
        """Create or change what differs. Contents of a namespace that was refused are left out."""
        refusals: list[Refusal] = []
        closed: set[str] = set()
        for child in wanted:
            if child["metadata"].get("namespace") in closed:
                continue
            refusal = await self._apply(owner, ownership.owned(child, owner), immutable)
            if refusal:
                refusals.append(refusal)
                if refusal.ref.kind == kinds.NAMESPACE:
                    closed.add(refusal.ref.name)
        return refusals

    async def prune(self, owner: Ref, *, keep: Collection[Ref], among: Collection[Kind]) -> int:
        """Delete the children that are not kept, exactly those that the index saw. Returns how many there were.

        What is in a namespace that goes is left to Kubernetes, which ends pods before the policies that confine them.
        """
        surplus = {ref for ref in self._index.children(owner) if ref not in keep and ref.kind in among}
        for ref in surplus:
            entry = self._index.entry(ref)
            if entry and not _deleting(self._index.get(ref)) and not self._goes(ref.namespace, surplus):
                await self._delete(ref, entry.uid)
        return len(surplus)

    async def _delete(self, ref: Ref, uid: str) -> None:
        """Its event, which may come before the answer, is no loss then."""
        self._pruned.add(ref)
        deleted = False
        try:
            deleted = await self._cluster.delete(ref, uid=uid)
        finally:
            if not deleted:
                self._pruned.discard(ref)

    def _goes(self, namespace: str | None, surplus: Collection[Ref]) -> bool:
        if namespace is None:
            return False
        ref = kinds.NAMESPACE.ref(namespace)
        return ref in surplus or _deleting(self._index.get(ref))

    async def _apply(self, owner: Object, child: Object, immutable: Collection[Kind]) -> Refusal | None:
        ref = ref_of(child)
        try:
            found = self._index.get(ref)
            if found is None and ref.kind in immutable and await self._new(child):
                await self._tell_restored(owner, ref)
                return None
            if found is None or not ownership.is_ours(found, owner):
                return await self._create(owner, child)  # it asks the API server, which also knows the field managers
            await self._change(owner, child, found)
        except (errors.Forbidden, errors.Invalid) as refused:
            return Refusal(ref, foreign=False, message=refused.message)
        return None

    async def _new(self, child: Object) -> bool:
        """Create the object; False when one of its name is there already."""
        self._writing[ref_of(child)] = _hash(child)
        try:
            self._index.put_written(await self._cluster.create(child, names.OPERATOR_MANAGER))
        except errors.Conflict:
            return False
        finally:
            del self._writing[ref_of(child)]
        return True

    async def _create(self, owner: Object, child: Object) -> Refusal | None:
        ref = ref_of(child)
        found = await self._cluster.get(ref, metadata_only=True)
        mine = found is None or ownership.is_ours(found, owner)
        if found and not mine and not ownership.may_adopt(found):
            return _foreign(ref, found)
        await self._write(child, force=found is not None)
        await self._tell_restored(owner, ref)
        if found and not mine:
            await self._recorder.event(
                owner, "Adopted", message=f"Took {ref} over, as its annotation {names.ADOPT} allowed"
            )
        return None

    async def _tell_restored(self, owner: Object, ref: Ref) -> None:
        if ref in self._lost:
            self._lost.discard(ref)
            await self._recorder.event(owner, "Restored", message=f"{ref} was deleted or lost its labels; put it back")

    async def _change(self, owner: Object, child: Object, found: Object) -> None:
        if _deleting(found):
            return
        same = _hash(found) == _hash(child)
        where = drift.difference(child, found)
        if same and where is None:
            return
        culprit = await self._culprit(child) if same else ""
        await self._write(child, force=True)
        if same:
            message = f"{where} of {ref_of(child)} was changed by {culprit}; put it back"
            await self._recorder.event(owner, "Restored", message=message)

    async def _culprit(self, child: Object) -> str:
        found = await self._cluster.get(ref_of(child), metadata_only=True)
        return ownership.other_managers(found) if found else "somebody"

    async def _write(self, child: Object, *, force: bool) -> None:
        self._writing[ref_of(child)] = _hash(child)
        try:
            self._index.put_written(await self._cluster.apply(child, names.OPERATOR_MANAGER, force=force))
        finally:
            del self._writing[ref_of(child)]


def _hash(found: Object) -> str:
    """The hash of what was applied last; empty when nothing was."""
    annotations: dict[str, str] = found["metadata"].get("annotations") or {}
    return annotations.get(names.SPEC_HASH, "")


def _deleting(found: Object | None) -> bool:
    return bool(found and found["metadata"].get("deletionTimestamp"))


def _foreign(ref: Ref, found: Object) -> Refusal:
    present = found["metadata"].get("labels") or {}
    kind, other = present.get(names.OWNER_KIND), present.get(names.OWNER_NAME)
    whose = f"belongs to {kind} {other}" if kind and other else "was not made by the platform"
    advice = f"rename one of the two, delete it, or annotate it {names.ADOPT}=true"
    return Refusal(ref, foreign=True, message=f"{ref} exists and {whose}: {advice}")
