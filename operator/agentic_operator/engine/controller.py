"""What a controller is and what the engine gives it; each module or package in `agentic_operator.controllers` has one.

Several controllers may reconcile one kind. Each has its own keys in the queue, its own children, and a part of the
status that no other one writes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from agentic_core import names
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import Kind, Object, Ref
from agentic_crds.base import Status
from agentic_operator.engine import ownership
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.discovery import OptionalApis
from agentic_operator.engine.index import Amount, Change, Index, Lookup
from agentic_operator.engine.key import ReconcileKey

ResourceT = TypeVar("ResourceT")
ObservedT = TypeVar("ObservedT")


@dataclass(frozen=True, slots=True)
class WatchedKind:
    """Objects that the index holds for a controller, beside its primary kind and its children."""

    kind: Kind
    labels: str = ""
    """Label selector, evaluated by the API server; empty for all."""
    metadata_only: bool = False


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """What `observe` and `finalize` may use. Watched objects come from the index, others from the cluster."""

    index: Index
    cluster: Cluster
    apis: OptionalApis


class Controller(Protocol[ResourceT, ObservedT]):
    """Makes what resources of one kind describe exist. Derive from it to get the defaults.

    For a key whose object exists the engine calls `parse`, `observe` and `desired`, applies and prunes, calls `assess`.
    """

    name: str
    """Unique among the controllers; in logs, metrics and, unless it is the main one of its kind, labels of children."""
    kind: Kind
    """The primary kind: its objects are the keys of the queue."""
    main: bool = True
    """Whether it is the main controller of its kind. There is one at most; others carry their name in their field
    managers, in their finalizer and on their children."""
    conditions: frozenset[str] = frozenset()
    """Types of the conditions that it writes, and no other controller of the kind."""
    status_fields: frozenset[str] = frozenset()
    """Other fields of the status that it writes, as JSON spells them, and no other controller of the kind."""
    summary: str = names.READY
    """The one of its conditions that reports children that cannot be made and resources that cannot be parsed."""
    children: tuple[Kind, ...] = ()
    """Kinds of the objects that `desired` makes. They are watched by the label app.kubernetes.io/managed-by."""
    immutable: tuple[Kind, ...] = ()
    """Of the children's kinds those whose objects never change: they are created without a read before, since a create
    fails when another object of the name exists."""
    watches: tuple[WatchedKind, ...] = ()
    """What else the index must hold."""
    lookups: tuple[Lookup, ...] = ()
    """Secondary indexes, so that nothing has to walk over all objects."""
    amounts: tuple[Amount, ...] = ()
    """What the index sums up for each namespace."""
    optional_apis: tuple[str, ...] = ()
    """APIs that not every cluster serves and that its decisions depend on, as group/version: its keys are queued when
    one comes or goes."""
    needs_finalizer: bool = False
    """Whether deletion waits until the children are gone and `finalize` returns True."""

    @property
    def label(self) -> str:
        """What its children carry as the label `names.OWNER_CONTROLLER`; empty for none."""
        return "" if self.main else self.name

    @property
    def manager(self) -> str:
        """Field manager of its children and of its finalizer."""
        return ownership.manager(self.label)

    @property
    def status_manager(self) -> str:
        """Field manager of its part of the status."""
        return names.STATUS_MANAGER if self.main else f"{names.STATUS_MANAGER}-{self.name}"

    @property
    def finalizer(self) -> str:
        """The finalizer that it holds, if it needs one."""
        return names.FINALIZER if self.main else f"{names.FINALIZER}-{self.name}"

    def parse(self, obj: Object) -> ResourceT:
        """The typed resource; pydantic's ValidationError becomes the condition Stalled."""
        ...

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        """Objects of its kind that a change of another watched object concerns."""
        return ()

    async def observe(self, resource: ResourceT, ctx: ReconcileContext) -> ObservedT:
        """All reads."""
        ...

    def desired(self, resource: ResourceT, observed: ObservedT) -> Wanted:
        """Pure: what shall exist."""
        ...

    def assess(self, resource: ResourceT, observed: ObservedT, now: datetime) -> Assessment:
        """Pure: its part of the status. Children that the API server refused, or that belong to another owner, need no
        care here: the engine reports them in `summary` (and as Conflict=True)."""
        ...

    def is_referenced(self, child: Ref, index: Index) -> bool:
        """For children that others refer to, as `Wanted.shared`: whether one must not be deleted, by what the index has
        at this moment."""
        return False

    async def finalize(self, resource: ResourceT, ctx: ReconcileContext) -> bool:
        """Called when all children are gone, more than once if need be: whether nothing outside remains, so that the
        finalizer may go."""
        return True

    async def close(self) -> None:
        """Called when the engine stops."""
        return


AnyController = Controller[Any, Any]


class Controllers:
    """All controllers of an engine: by name, by kind, and by what their children's labels say."""

    def __init__(self, controllers: Sequence[AnyController]) -> None:
        """Raises ValueError when two controllers have the same name or own the same part of a status."""
        self.all = tuple(controllers)
        self.by_kind: Mapping[Kind, list[AnyController]] = defaultdict(list)
        for controller in controllers:
            for other in self.by_kind[controller.kind]:
                _check_disjoint(controller, other)
            self.by_kind[controller.kind].append(controller)
        self._by_name = {controller.name: controller for controller in controllers}
        if len(self._by_name) < len(self.all):
            raise ValueError(f"controllers need unique names: {', '.join(one.name for one in controllers)}")
        self.owners = {(one.kind.name, one.label): (one.name, one.kind) for one in controllers}
        """Name and primary kind by the labels of children: kind of the owner and label of the controller."""

    def of(self, key: ReconcileKey) -> AnyController:
        """The controller of a key."""
        return self._by_name[key.controller]

    def keys(self, ref: Ref) -> list[ReconcileKey]:
        """The keys of an object, one for each controller of its kind."""
        return [ReconcileKey(controller.name, ref) for controller in self.by_kind.get(ref.kind, ())]


def all_fields(status: type[Status]) -> frozenset[str]:
    """The names of a status' fields in JSON, for the only controller that writes them."""
    aliases = (field.alias or name for name, field in status.model_fields.items())
    return frozenset(aliases) - {"conditions"}


def _check_disjoint(one: AnyController, other: AnyController) -> None:
    both = f"controllers {one.name} and {other.name} of {one.kind.name}"
    if one.main and other.main:
        raise ValueError(f"{both} are both the main one: set main = False on one of them")
    if shared := one.conditions & other.conditions:
        raise ValueError(f"{both} both own the conditions {', '.join(sorted(shared))}: each needs its own")
    if shared := one.status_fields & other.status_fields:
        raise ValueError(f"{both} both own the status fields {', '.join(sorted(shared))}: each needs its own")
