"""Objects that several resources refer to: created before what refers to them, deleted when nothing does any more. The
reconciler holds them while it makes what refers to them, `children` deletes them.

Such an object is immutable and named by its content. It is a child of the owner whose controller finds out that nothing
refers to it. Invariants:

- While an object is held no deletion of it begins, and one that had begun has ended before its existence is looked up.
- There is no await between the check that nothing holds it or refers to it and the request that deletes it.
- What was deleted here does not exist, even while the watch has not reported it yet.
- Those who need an object at the same time create it once.
- Who holds an object releases it only after what refers to it is in the index, or was not created.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import Ref, ref_of
from agentic_core.single_flight import SingleFlight
from agentic_operator.engine import ownership
from agentic_operator.engine.controller import Controllers
from agentic_operator.engine.decision import SharedObject
from agentic_operator.engine.index import Index
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.writes import Writes


class SharedObjects:
    """The shared objects of one cluster."""

    def __init__(self, cluster: Cluster, index: Index, *, writes: Writes, controllers: Controllers) -> None:
        self._cluster = cluster
        self._index = index
        self._writes = writes
        self._controllers = controllers
        self._held: Counter[Ref] = Counter()
        self._creations: SingleFlight[Ref, None] = SingleFlight()
        self._deleting: dict[Ref, asyncio.Event] = {}
        self._deleted: dict[Ref, str] = {}
        """Uids of objects that were deleted here and that the index still has."""

    @asynccontextmanager
    async def held(self, objects: Sequence[SharedObject], author: ReconcileKey) -> AsyncGenerator[None]:
        """The objects exist inside the block. Raises RequestForbidden or ObjectInvalid when one cannot be created."""
        refs = [ref_of(one.body) for one in objects]
        self._held.update(refs)
        try:
            for ref, one in zip(refs, objects, strict=True):
                await self._ensure(ref, one, author)
            yield
        finally:
            self._held.subtract(refs)
            self._held = +self._held

    @contextmanager
    def deletion(self, ref: Ref) -> Generator[bool]:
        """Whether the object may be deleted inside the block; those who need it wait for the end of the block."""
        if ref in self._held or ref in self._deleting:
            yield False
            return
        ended = self._deleting[ref] = asyncio.Event()
        try:
            yield True
        finally:
            del self._deleting[ref]
            ended.set()

    def deleted(self, ref: Ref, uid: str) -> None:
        """The object with this uid was deleted."""
        self._deleted = {ref: uid for ref, uid in self._deleted.items() if self._has(ref, uid)} | {ref: uid}

    async def _ensure(self, ref: Ref, one: SharedObject, author: ReconcileKey) -> None:
        while ended := self._deleting.get(ref):
            await ended.wait()
        if not self._exists(ref):
            await self._creations.get(ref, lambda: self._create(ref, one, author))

    async def _create(self, ref: Ref, one: SharedObject, author: ReconcileKey) -> None:
        owner, controller = self._index.get(one.owner.ref), self._controllers.of(one.owner)
        if owner is None:
            raise errors.ObjectNotFound(f"{one.owner.ref} not found; {ref} would be its child")
        body = ownership.owned(one.body, owner, controller.label)
        try:
            await self._writes.write(ref, author, self._cluster.create(body, controller.manager))
        except errors.ObjectConflict:  # the index does not have it yet, or it lost its labels; contents cannot differ
            await self._writes.write(ref, author, self._cluster.apply(body, controller.manager))

    def _exists(self, ref: Ref) -> bool:
        entry = self._index.entry(ref)
        return entry is not None and self._deleted.get(ref) != entry.uid

    def _has(self, ref: Ref, uid: str) -> bool:
        entry = self._index.entry(ref)
        return entry is not None and entry.uid == uid
