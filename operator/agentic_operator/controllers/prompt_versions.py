"""The controller of prompts: each namespace keeps those that its revisions refer to, one key a namespace.

The Agent controller has prompts created; this one deletes them. It is small enough for one module.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, Object, Ref
from agentic_operator.controllers.kinds import PROMPT, PROMPT_CONTROLLER, REVISION
from agentic_operator.controllers.lookups import BY_PROMPT_VERSION, REVISION_LOOKUP, revisions_with
from agentic_operator.engine.controller import Controller, ReconcileContext
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.index import Change, Index, IndexEntry
from agentic_operator.engine.key import ReconcileKey

RETRY = 60.0
"""Seconds until a prompt is looked at again that was needed for a revision to come."""


@dataclass(frozen=True)
class PromptNamespace:
    """A namespace that may have prompts."""

    name: str


@dataclass(frozen=True)
class ObservedPrompts:
    """The prompts of a namespace."""

    referenced: frozenset[Ref]
    unreferenced: frozenset[Ref]


class PromptVersionController(Controller[PromptNamespace, ObservedPrompts]):
    """Deletes prompts that no revision refers to."""

    name = PROMPT_CONTROLLER
    kind = NAMESPACE
    main = False
    children = (PROMPT,)
    lookups = (REVISION_LOOKUP,)

    def parse(self, obj: Object) -> PromptNamespace:
        return PromptNamespace(obj["metadata"]["name"])

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        """A revision that went, or that refers to another prompt, may have been the last of its prompt."""
        ref = change.ref
        if ref.kind == REVISION and ref.namespace and _prompts(change.before) - _prompts(change.after):
            return (NAMESPACE.ref(ref.namespace),)
        return ()

    async def observe(self, resource: PromptNamespace, ctx: ReconcileContext) -> ObservedPrompts:
        """The API server is read before a prompt counts as unreferenced, since a deletion cannot be taken back."""
        key = ReconcileKey(self.name, NAMESPACE.ref(resource.name))
        prompts = frozenset(ref for ref in ctx.index.children(key) if ref.kind == PROMPT)
        candidates = [ref for ref in prompts if not self.is_referenced(ref, ctx.index)]
        unreferenced = frozenset([ref for ref in candidates if not await _is_referenced(ref, ctx)])
        return ObservedPrompts(prompts - unreferenced, unreferenced)

    def desired(self, resource: PromptNamespace, observed: ObservedPrompts) -> Wanted:
        return Wanted(keep=observed.referenced)

    def assess(self, resource: PromptNamespace, observed: ObservedPrompts, now: datetime) -> Assessment:
        """A Namespace's status belongs to Kubernetes."""
        return Assessment(status=None, requeue_after=RETRY if observed.unreferenced else None)

    def is_referenced(self, child: Ref, index: Index) -> bool:
        return bool(revisions_with(child, index))


async def _is_referenced(prompt: Ref, ctx: ReconcileContext) -> bool:
    selector = f"{names.PROMPT_VERSION}={prompt.name}"
    pages = ctx.cluster.pages(REVISION, prompt.namespace, labels=selector, metadata_only=True)
    return any([bool(page.items) async for page in pages])


def _prompts(revision: IndexEntry | None) -> set[str]:
    return {value for lookup, value in revision.found if lookup == BY_PROMPT_VERSION} if revision else set()
