"""What is observed of an Agent; `observe` reads it, the pure `desired` and `status` decide by it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agentic_core import names
from agentic_core.cluster.kinds import Object, Ref
from agentic_core.resolve import Resolution, ResolutionProblem, Surroundings, resolve
from agentic_crds.agent import AgentSpec


@dataclass(frozen=True)
class ExistingRevision:
    """A revision that exists."""

    name: str
    created: str
    """RFC 3339; sorts by time."""
    prompt: str = ""
    """Name of the PromptVersion that it refers to; empty when its prompt is its own."""
    stored_bytes: str = ""
    """Its annotation; empty when it was made before there was one."""

    @classmethod
    def parse(cls, metadata: Mapping[str, Any]) -> "ExistingRevision":
        """What the metadata of an AgentRevision says."""
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        return cls(
            metadata["name"],
            str(metadata.get("creationTimestamp", "")),
            labels.get(names.PROMPT_VERSION, ""),
            annotations.get(names.STORED_BYTES, ""),
        )


@dataclass(frozen=True)
class ObservedAgent:
    """What an agent depends on, and what it has."""

    spec: AgentSpec
    around: Surroundings
    tenant: str | None
    revisions: tuple[ExistingRevision, ...] = ()
    children: frozenset[Ref] = field(default_factory=frozenset[Ref])
    """Objects that were made for it, revisions included."""
    shared: Object | None = None
    """The shared runtime's Deployment."""
    dedicated: Object | None = None
    """The Deployment of its own."""
    over_budget: ResolutionProblem | None = None
    """Why its new revision is not created, although it resolves."""
    conflict: str = ""
    """What of somebody else's is in the place of its runtime's Service or Deployment; empty for nothing."""
    reachable: bool = True
    """Whether the Service of its runtime exists and selects the runtime's pods."""

    @cached_property
    def resolution(self) -> Resolution:
        """The agent resolved, once for `desired` and `assess`."""
        return resolve(self.spec, self.around)

    def revision(self, name: str) -> ExistingRevision | None:
        """The revision of this name, if it exists."""
        return next((one for one in self.revisions if one.name == name), None)
