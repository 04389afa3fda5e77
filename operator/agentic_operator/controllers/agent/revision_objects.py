"""The objects that keep what an agent resolves to: an AgentRevision, and a PromptVersion for a long prompt; pure.

`desired` and `observe` make it.
"""

from dataclasses import dataclass
from functools import cached_property

import orjson

from agentic_core import names, revisions
from agentic_core.cluster.kinds import NAMESPACE, Object, Ref, ref_of
from agentic_crds import Agent
from agentic_crds.agent_revision import Definition
from agentic_crds.prompt_version import name_of
from agentic_operator.controllers.agent.observed import ExistingRevision, ObservedAgent
from agentic_operator.controllers.kinds import PROMPT, PROMPT_CONTROLLER, REVISION
from agentic_operator.desired import metadata
from agentic_operator.engine.decision import SharedObject
from agentic_operator.engine.key import ReconcileKey


@dataclass(frozen=True)
class RevisionObjects:
    """The objects that keep a definition. A revision that exists keeps its form, since it cannot change: one that was
    made by an earlier version of the platform may have a long prompt of its own, and no size."""

    agent: Agent
    definition: Definition
    digest: str
    tenant: str
    existing: ExistingRevision | None

    @cached_property
    def revision(self) -> Object:
        """The AgentRevision."""
        name = self.agent.metadata.name
        labels = metadata.labels(tenant=self.tenant) | {names.AGENT: name}
        labels |= {names.PROMPT_VERSION: name_of(self._prompt_sha256)} if self._separate else {}
        content = revisions.content(self.definition, separate=self._separate)
        spec = {"agent": name, "hash": self.digest, **content}
        body = metadata.object_of(REVISION, names.revision_name(name, self.digest), self._namespace, labels)
        return _with_size(body, spec, self.existing.stored_bytes if self.existing else _size(spec))

    @cached_property
    def prompts(self) -> tuple[SharedObject, ...]:
        """The PromptVersion that the revision refers to, if it does."""
        if not self._separate:
            return ()
        spec = {"sha256": self._prompt_sha256, "text": self.definition.system_prompt}
        labels = metadata.labels(tenant=self.tenant)
        body = metadata.object_of(PROMPT, name_of(self._prompt_sha256), self._namespace, labels)
        owner = ReconcileKey(PROMPT_CONTROLLER, NAMESPACE.ref(self._namespace))
        return (SharedObject(_with_size(body, spec, _size(spec)), owner),)

    @property
    def sizes(self) -> dict[Ref, int]:
        """What each of the objects takes of the tenant's budget."""
        objects = [self.revision, *(one.body for one in self.prompts)]
        return {ref_of(one): int(one["metadata"].get("annotations", {}).get(names.STORED_BYTES, 0)) for one in objects}

    @property
    def _namespace(self) -> str:
        return self.agent.metadata.namespace or ""

    @cached_property
    def _separate(self) -> bool:
        return bool(self.existing.prompt) if self.existing else revisions.has_separate_prompt(self.definition)

    @cached_property
    def _prompt_sha256(self) -> str:
        return revisions.prompt_sha256(self.definition.system_prompt)


def revision_objects(agent: Agent, observed: ObservedAgent) -> RevisionObjects | None:
    """The objects of the definition; None when the agent does not resolve."""
    resolution = observed.resolution
    if observed.tenant is None or resolution.definition is None:
        return None
    existing = observed.revision(names.revision_name(agent.metadata.name, resolution.digest))
    return RevisionObjects(agent, resolution.definition, resolution.digest, observed.tenant, existing)


def _size(spec: Object) -> str:
    return str(len(orjson.dumps(spec)))


def _with_size(body: Object, spec: Object, size: str) -> Object:
    annotations = {"annotations": {names.STORED_BYTES: size}} if size else {}
    return body | {"metadata": body["metadata"] | annotations, "spec": spec}
