"""The reconcile paragraph: observe, desired, apply, prune, assess, status. Workers call it for one key at a time."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import ValidationError

from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import Object, ref_of
from agentic_crds.base import Status
from agentic_operator.engine import status
from agentic_operator.engine.children import ChildRefusal, Children, Owner
from agentic_operator.engine.controller import Controllers, ReconcileContext
from agentic_operator.engine.decision import Wanted
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.shared import SharedObjects
from agentic_operator.engine.writes import Writes

DELETION_PAUSE = 5.0
"""Seconds until a deletion that waits for something is reconciled again."""


class ReconcileOutcome(StrEnum):
    """How a reconcile ended."""

    SETTLED = "settled"
    REFUSED = "refused"
    GONE = "gone"
    WAITING = "waiting"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What a reconcile returns to the queue."""

    outcome: ReconcileOutcome
    requeue_after: float | None = None


class Reconciler:
    """All controllers over one cluster."""

    def __init__(
        self,
        context: ReconcileContext,
        *,
        children: Children,
        shared: SharedObjects,
        writes: Writes,
        controllers: Controllers,
        clock: Callable[[], datetime],
    ) -> None:
        self._context = context
        self._index = context.index
        self._cluster: Cluster = context.cluster
        self._children = children
        self._shared = shared
        self._writes = writes
        self._controllers = controllers
        self._clock = clock

    async def reconcile(self, key: ReconcileKey) -> ReconcileResult:
        """Make what the resource describes exist. Errors that may pass are raised."""
        obj = self._index.get(key.ref)
        if obj is None:
            return ReconcileResult(ReconcileOutcome.GONE)
        controller = self._controllers.of(key)
        try:
            if obj["metadata"].get("deletionTimestamp"):
                return await self._finalize(Owner(obj, controller))
            return await self._converge(Owner(obj, controller))
        except ValidationError as invalid:
            now, generation = self._clock(), obj["metadata"].get("generation", 0)
            reported = status.stalled(_first(invalid), controller=controller, generation=generation, now=now)
            await self._write_status(Owner(obj, controller), reported)
            return ReconcileResult(ReconcileOutcome.STALLED)

    async def _converge(self, owner: Owner) -> ReconcileResult:
        controller = owner.controller
        if controller.needs_finalizer:
            owner = await self._hold(owner)
        resource = controller.parse(owner.obj)
        observed = await controller.observe(resource, self._context)
        wanted = controller.desired(resource, observed)
        refs = [ref_of(child, wanted.cluster) for child in wanted.objects]
        before = self._index.versions(refs)
        refusals = await self._apply(owner, wanted)
        await self._children.prune(owner, keep={*refs, *wanted.keep})
        if self._index.versions(refs) != before:
            observed = await controller.observe(resource, self._context)  # no event of our own writes queues the key
        assessment = controller.assess(resource, observed, self._clock())
        if assessment.status is not None:
            await self._write_status(owner, self._with_refusals(owner, assessment.status, refusals))
        outcome = ReconcileOutcome.REFUSED if refusals else ReconcileOutcome.SETTLED
        return ReconcileResult(outcome, assessment.requeue_after)

    async def _apply(self, owner: Owner, wanted: Wanted) -> list[ChildRefusal]:
        """What the objects refer to is there before them, and is not deleted until they are."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._shared.held(wanted.shared, owner.key))
            except (errors.RequestForbidden, errors.ObjectInvalid) as refused:
                return [ChildRefusal(owner.key.ref, foreign=False, message=refused.message)]
            return await self._children.apply(owner, wanted)

    def _with_refusals(self, owner: Owner, assessed: Status, refusals: list[ChildRefusal]) -> Status:
        if not refusals:
            return assessed
        generation = owner.obj["metadata"].get("generation", 0)
        return status.with_refusals(
            assessed, refusals, controller=owner.controller, generation=generation, now=self._clock()
        )

    async def _finalize(self, owner: Owner) -> ReconcileResult:
        """Delete what the owner's deletion does not delete by itself, then let the resource go."""
        if owner.controller.finalizer not in owner.obj["metadata"].get("finalizers", []):
            return ReconcileResult(ReconcileOutcome.GONE)
        if await self._children.prune(owner, keep=()):
            return ReconcileResult(ReconcileOutcome.WAITING, requeue_after=DELETION_PAUSE)
        if not await owner.controller.finalize(owner.controller.parse(owner.obj), self._context):
            return ReconcileResult(ReconcileOutcome.WAITING, requeue_after=DELETION_PAUSE)
        await self._set_finalizers(owner, [])
        return ReconcileResult(ReconcileOutcome.GONE)

    async def _hold(self, owner: Owner) -> Owner:
        finalizer = owner.controller.finalizer
        if finalizer in owner.obj["metadata"].get("finalizers", []):
            return owner
        return Owner(await self._set_finalizers(owner, [finalizer]), owner.controller)

    async def _set_finalizers(self, owner: Owner, finalizers: list[str]) -> Object:
        """Apply the controller's finalizers; others stay. The uid keeps a successor safe, and nothing is created."""
        body = status.patch(owner.obj, {})
        del body["status"]
        body["metadata"]["finalizers"] = finalizers
        call = self._cluster.apply(body, owner.controller.manager)
        return await self._writes.write(owner.key.ref, owner.key, call)

    async def _write_status(self, owner: Owner, reported: Status) -> None:
        ref, before = owner.key.ref, owner.obj.get("status") or {}
        body = status.document(reported, before, owner.controller)
        if not status.differs(body, before, owner.controller):
            return
        call = self._cluster.apply_status(status.patch(owner.obj, body), owner.controller.status_manager)
        try:
            await self._writes.write(ref, owner.key, call)
        except errors.ObjectNotFound:
            self._index.evict(ref)


def _first(invalid: ValidationError) -> str:
    problem = invalid.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}. Install the operator and the CRDs in the same version."
