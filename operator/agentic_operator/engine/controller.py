"""What a controller is and what the engine gives it; each package in `agentic_operator.controllers` has one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import Kind, Object, Ref
from agentic_crds.base import Status
from agentic_operator.engine.index import Change, Index, Lookup

ResourceT = TypeVar("ResourceT")
ObservedT = TypeVar("ObservedT")


@dataclass(frozen=True, slots=True)
class Watch:
    """Objects that the index holds for a controller, beside its primary kind and its children."""

    kind: Kind
    labels: str = ""
    """Label selector, evaluated by the API server; empty for all."""
    metadata_only: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What `observe` and `finalize` may use. Watched objects come from the index, others from the cluster."""

    index: Index
    cluster: Cluster


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall exist because of a resource."""

    objects: Sequence[Object] = ()
    """Applied in this order. The engine adds the owner's labels, the ownerReference where it may, and the hash."""
    keep: frozenset[Ref] = field(default_factory=frozenset[Ref])
    """Children that stay as they are, although they are not among the objects."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What to tell the user, and when to look again."""

    status: Status | None
    """The whole status, conditions with `now` as transition time: the engine keeps the old time of those that did
    not change and writes only what differs. None for a kind whose status is not ours."""
    requeue_after: float | None = None
    """Seconds until the next look, for what no watch tells."""


class Controller(Protocol[ResourceT, ObservedT]):
    """Makes one kind of resource come true. Derive from it to get the defaults.

    For a key whose object exists the engine calls `parse`, `observe` and `desired`, applies and prunes, calls `assess`.
    """

    kind: Kind
    """The primary kind: its objects are the keys of the queue."""
    children: tuple[Kind, ...] = ()
    """Kinds of the objects that `desired` makes. They are watched by the label app.kubernetes.io/managed-by."""
    immutable: tuple[Kind, ...] = ()
    """Of the children's kinds those whose objects never change: they are created, which fails if somebody else's is
    there, so that nobody has to look first."""
    watches: tuple[Watch, ...] = ()
    """What else the index must hold."""
    lookups: tuple[Lookup, ...] = ()
    """Secondary indexes, so that nothing has to walk over all objects."""
    numerous: bool = False
    """Whether there are thousands of the primary kind: a reflector then watches it instead of Kopf, at a fraction of
    the CPU time an event."""
    needs_finalizer: bool = False
    """Whether deletion waits until the children are gone and `finalize` agrees."""

    def parse(self, obj: Object) -> ResourceT:
        """The typed resource; pydantic's ValidationError becomes the condition Stalled."""
        ...

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        """Keys of this controller that a change of another watched object concerns."""
        return ()

    async def observe(self, resource: ResourceT, ctx: Context) -> ObservedT:
        """All reads."""
        ...

    def desired(self, resource: ResourceT, observed: ObservedT) -> Wanted:
        """Pure: what shall exist."""
        ...

    def assess(self, resource: ResourceT, observed: ObservedT, now: datetime) -> Assessment:
        """Pure: the status. Objects of ours that the API server refused, or that belong to somebody else, need no
        care here: the engine turns them into Ready=False with the reason (and Conflict=True)."""
        ...

    async def finalize(self, resource: ResourceT, ctx: Context) -> bool:
        """Called once all children are gone: whether nothing outside remains, so that the finalizer may go."""
        return True

    async def close(self) -> None:
        """Called when the engine stops."""
        return
