"""Makes the children of a resource what they shall be, and writes only what differs. The reconciler calls it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agentic_core import names
from agentic_core.cluster import Cluster, Recorder, errors, kinds
from agentic_core.cluster.kinds import Object, Ref, ref_of
from agentic_operator.engine import drift, ownership
from agentic_operator.engine.controller import AnyController
from agentic_operator.engine.decision import Wanted
from agentic_operator.engine.index import Index, IndexEntry
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.shared import SharedObjects
from agentic_operator.engine.writes import Writes


@dataclass(frozen=True, slots=True)
class ChildRefusal:
    """A child that could not be made, for a reason that only a person can change."""

    ref: Ref
    foreign: bool
    message: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose children are made: a resource and one of its controllers."""

    obj: Object
    controller: AnyController

    @property
    def key(self) -> ReconcileKey:
        """The key that is being reconciled."""
        return ReconcileKey(self.controller.name, ref_of(self.obj))

    def has(self, found: Object) -> bool:
        """Whether the object was made for this owner."""
        return ownership.is_ours(found, self.obj, self.controller.label)


class Children:
    """The children of all resources. `clusters` are the clients by name of their cluster."""

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        index: Index,
        *,
        writes: Writes,
        recorder: Recorder,
        shared: SharedObjects,
    ) -> None:
        self._clusters = clusters
        self._index = index
        self._writes = writes
        self._recorder = recorder
        self._shared = shared
        self._lost: set[Ref] = set()
        self._pruned: set[Ref] = set()

    def deleted(self, ref: Ref, owner: ReconcileKey) -> None:
        """A child was deleted; unless we did it, or its owner is being deleted, restoring it is worth an event."""
        if ref in self._pruned:
            self._pruned.discard(ref)
        elif self._index.entry(owner.ref) and not _deleting(self._index.get(owner.ref)):
            self._lost.add(ref)

    async def apply(self, owner: Owner, wanted: Wanted) -> list[ChildRefusal]:
        """Create or change what differs. Contents of a namespace that was refused are left out."""
        refusals: list[ChildRefusal] = []
        refused_namespaces: set[str] = set()
        for child in wanted.objects:
            if child["metadata"].get("namespace") in refused_namespaces:
                continue
            refusal = await self._apply(
                owner, ownership.owned(child, owner.obj, owner.controller.label), wanted.cluster
            )
            if refusal:
                refusals.append(refusal)
                if refusal.ref.kind == kinds.NAMESPACE:
                    refused_namespaces.add(refusal.ref.name)
        return refusals

    async def prune(self, owner: Owner, *, keep: Collection[Ref]) -> int:
        """Delete the children that are not kept, exactly those that the index saw. Returns how many there were.

        Those in a namespace that is being deleted are left to Kubernetes, which ends pods before the policies that
        confine them.
        """
        kinds_of_children = owner.controller.children
        surplus = {ref for ref in self._index.children(owner.key) if ref not in keep and ref.kind in kinds_of_children}
        for ref in surplus:
            entry = self._index.entry(ref)
            if entry and not _deleting(self._index.get(ref)) and not self._namespace_goes(ref, surplus):
                await self._delete(owner, ref, entry)
        return len(surplus)

    def client(self, cluster: str) -> Cluster:
        """The client of a cluster. Raises UnknownCluster when there is none."""
        try:
            return self._clusters[cluster]
        except KeyError:
            raise errors.UnknownCluster(
                f"no client for cluster {cluster}: this operator has {', '.join(sorted(self._clusters))}"
            ) from None

    async def _delete(self, owner: Owner, ref: Ref, entry: IndexEntry) -> None:
        """Its event may arrive before the response. Invariant: no await between the checks and the request."""
        with self._shared.deletion(ref) as may_delete:
            if not may_delete or owner.controller.is_referenced(ref, self._index):
                return
            self._pruned.add(ref)
            deleted = False
            try:
                deleted = await self.client(ref.cluster).delete(ref, uid=entry.uid)
            finally:
                if not deleted:
                    self._pruned.discard(ref)
            if deleted:
                self._shared.deleted(ref, entry.uid)

    def _namespace_goes(self, child: Ref, surplus: Collection[Ref]) -> bool:
        if child.namespace is None:
            return False
        ref = kinds.NAMESPACE.ref(child.namespace, cluster=child.cluster)
        return ref in surplus or _deleting(self._index.get(ref))

    async def _apply(self, owner: Owner, child: Object, cluster: str) -> ChildRefusal | None:
        ref = ref_of(child, cluster)
        try:
            found = self._index.get(ref)
            if found is None and ref.kind in owner.controller.immutable and await self._create(owner, child, ref):
                return None
            if found is None or not owner.has(found):
                return await self._adopt_or_apply(owner, child, ref)
            await self._change(owner, child, found=found, ref=ref)
        except (errors.RequestForbidden, errors.ObjectInvalid, errors.UnknownCluster) as refused:
            return ChildRefusal(ref, foreign=False, message=refused.message)
        return None

    async def _create(self, owner: Owner, child: Object, ref: Ref) -> bool:
        """Create the object; False when one of its name exists already."""
        call = self.client(ref.cluster).create(child, owner.controller.manager)
        try:
            await self._writes.write(ref, owner.key, call)
        except errors.ObjectConflict:
            return False
        await self._report_restored(owner, ref)
        return True

    async def _adopt_or_apply(self, owner: Owner, child: Object, ref: Ref) -> ChildRefusal | None:
        """The index lacks the object, or it lost its marks: the API server has it with its field managers."""
        found = await self.client(ref.cluster).get(ref, metadata_only=True)
        ours = found is None or owner.has(found)
        if found and not ours and not ownership.may_adopt(found):
            return ChildRefusal(ref, foreign=True, message=ownership.foreign(ref, found))
        await self._write(owner, child, ref=ref, force=found is not None)
        await self._report_restored(owner, ref)
        if found and not ours:
            message = f"Took {ref} over, as its annotation {names.ADOPT} allowed"
            await self._recorder.event(owner.obj, "Adopted", message=message)
        return None

    async def _report_restored(self, owner: Owner, ref: Ref) -> None:
        if ref in self._lost:
            self._lost.discard(ref)
            message = f"{ref} was deleted or lost its labels; put it back"
            await self._recorder.event(owner.obj, "Restored", message=message)

    async def _change(self, owner: Owner, child: Object, *, found: Object, ref: Ref) -> None:
        if _deleting(found):
            return
        unchanged = _hash(found) == _hash(child)
        where = drift.difference({"metadata": child["metadata"]} if self._has_metadata_only(ref) else child, found)
        if unchanged and where is None:
            return
        culprit = await self._culprit(ref) if unchanged else ""
        await self._write(owner, child, ref=ref, force=True)
        if unchanged:
            message = f"{where} of {ref} was changed by {culprit}; put it back"
            await self._recorder.event(owner.obj, "Restored", message=message)

    def _has_metadata_only(self, ref: Ref) -> bool:
        """The contents of such objects are immutable: what was applied is still there."""
        return ref.kind in self._index.metadata_only

    async def _culprit(self, ref: Ref) -> str:
        found = await self.client(ref.cluster).get(ref, metadata_only=True)
        return ownership.last_other_manager(found or {"metadata": {}})

    async def _write(self, owner: Owner, child: Object, *, ref: Ref, force: bool) -> None:
        call = self.client(ref.cluster).apply(child, owner.controller.manager, force=force)
        await self._writes.write(ref, owner.key, call)


def _hash(found: Object) -> str:
    """The hash of what was applied last; empty when nothing was."""
    annotations: dict[str, str] = found["metadata"].get("annotations") or {}
    return annotations.get(names.SPEC_HASH, "")


def _deleting(found: Object | None) -> bool:
    return bool(found and found["metadata"].get("deletionTimestamp"))
