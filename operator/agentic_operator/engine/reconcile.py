"""The reconcile paragraph: observe, desired, apply, prune, assess, status. Workers call it for one key at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from agentic_core import names
from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import Kind, Object, Ref, ref_of
from agentic_crds.base import Status
from agentic_operator.engine import status
from agentic_operator.engine.children import Children, Refusal
from agentic_operator.engine.controller import Context, Controller
from agentic_operator.engine.index import Index


class Outcome(StrEnum):
    """How a reconcile ended."""

    SETTLED = "settled"
    REFUSED = "refused"
    GONE = "gone"
    WAITING = "waiting"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Result:
    """What the queue has to know afterwards."""

    outcome: Outcome
    requeue_after: float | None = None


class Reconciler:
    """All controllers over one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        index: Index,
        *,
        children: Children,
        controllers: Mapping[Kind, Controller[Any, Any]],
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._index = index
        self._children = children
        self._controllers = controllers
        self._clock = clock
        self._context = Context(index, cluster)
        self._mixed: dict[Ref, bytes] = {}
        """Of a status that others write to as well: what we wrote last and what that gave."""

    async def reconcile(self, ref: Ref) -> Result:
        """Make the resource come true. Errors that may pass are raised."""
        obj = self._index.get(ref)
        if obj is None:
            self._mixed.pop(ref, None)
            return Result(Outcome.GONE)
        controller = self._controllers[ref.kind]
        try:
            if obj["metadata"].get("deletionTimestamp"):
                return await self._finalize(obj, controller)
            return await self._converge(obj, controller)
        except ValidationError as invalid:
            now, generation = self._clock(), obj["metadata"].get("generation", 0)
            await self._write_status(obj, status.stalled(_first(invalid), generation=generation, now=now))
            return Result(Outcome.STALLED)

    async def _converge(self, obj: Object, controller: Controller[Any, Any]) -> Result:
        if controller.needs_finalizer:
            obj = await self._hold(obj)
        resource = controller.parse(obj)
        observed = await controller.observe(resource, self._context)
        wanted = controller.desired(resource, observed)
        refs = [ref_of(child) for child in wanted.objects]
        before = self._index.versions(refs)
        refusals = await self._children.apply(obj, wanted.objects, immutable=controller.immutable)
        await self._children.prune(ref_of(obj), keep={*refs, *wanted.keep}, among=controller.children)
        if self._index.versions(refs) != before:
            observed = await controller.observe(resource, self._context)  # our own writes raise no event
        assessment = controller.assess(resource, observed, self._clock())
        if assessment.status is not None:
            await self._write_status(obj, self._told(obj, assessment.status, refusals))
        return Result(Outcome.REFUSED if refusals else Outcome.SETTLED, assessment.requeue_after)

    def _told(self, obj: Object, assessed: Status, refusals: list[Refusal]) -> Status:
        if not refusals:
            return assessed
        generation = obj["metadata"].get("generation", 0)
        return status.with_refusals(assessed, refusals, generation=generation, now=self._clock())

    async def _finalize(self, obj: Object, controller: Controller[Any, Any]) -> Result:
        """Delete what the owner's deletion does not delete by itself, then let the resource go."""
        if names.FINALIZER not in obj["metadata"].get("finalizers", []):
            return Result(Outcome.GONE)
        if await self._children.prune(ref_of(obj), keep=(), among=controller.children):
            return Result(Outcome.WAITING, requeue_after=5.0)
        if not await controller.finalize(controller.parse(obj), self._context):
            return Result(Outcome.WAITING, requeue_after=5.0)
        await self._set_finalizers(obj, [])
        return Result(Outcome.GONE)

    async def _hold(self, obj: Object) -> Object:
        if names.FINALIZER in obj["metadata"].get("finalizers", []):
            return obj
        return await self._set_finalizers(obj, [names.FINALIZER])

    async def _set_finalizers(self, obj: Object, finalizers: list[str]) -> Object:
        """Apply our finalizers; those of others stay. The uid keeps a successor safe, and nothing is created anew."""
        body = status.patch(obj, {})
        del body["status"]
        body["metadata"]["finalizers"] = finalizers
        written = await self._cluster.apply(body, names.OPERATOR_MANAGER)
        self._index.put_written(written)
        return written

    async def _write_status(self, obj: Object, wanted: Status) -> None:
        ref, before = ref_of(obj), obj.get("status") or {}
        body = status.document(wanted, before)
        if not status.differs(body, before) or self._mixed.get(ref) == status.outcome(body, before):
            return
        try:
            written = await self._cluster.apply_status(status.patch(obj, body), names.STATUS_MANAGER)
        except errors.NotFound:
            self._index.evict(ref)
            return
        self._index.put_written(written)
        self._mixed.pop(ref, None)
        if status.differs(body, after := written.get("status") or {}):
            self._mixed[ref] = status.outcome(body, after)


def _first(invalid: ValidationError) -> str:
    problem = invalid.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}. Install the operator and the CRDs in the same version."
