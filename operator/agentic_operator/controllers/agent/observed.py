"""What is observed of an Agent; `observe` reads it, the pure `desired` and `status` decide by it."""

from dataclasses import dataclass, field
from functools import cached_property

from agentic_core.cluster.kinds import Object, Ref, custom
from agentic_core.resolve import Resolution, Surroundings, resolve
from agentic_crds import AgentRevision
from agentic_crds.agent import AgentSpec

REVISION = custom(AgentRevision)


@dataclass(frozen=True)
class ExistingRevision:
    """A revision that exists."""

    name: str
    created: str
    """RFC 3339; sorts by time."""


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

    @cached_property
    def resolution(self) -> Resolution:
        """The agent resolved, once for `desired` and `assess`."""
        return resolve(self.spec, self.around)
