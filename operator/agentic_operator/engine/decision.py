"""What the pure part of a controller decides: the wanted objects and the status. `desired` and `status` modules build
them, the engine carries them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentic_core.cluster.kinds import LOCAL, Object, Ref
from agentic_crds.base import Status
from agentic_operator.engine.key import ReconcileKey


@dataclass(frozen=True, slots=True)
class SharedObject:
    """An immutable object, named by its content, that several resources refer to."""

    body: Object
    owner: ReconcileKey
    """Whose child it is: its controller deletes it when nothing refers to it any more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall exist because of a resource."""

    objects: Sequence[Object] = ()
    """Applied in this order. The engine adds the owner's labels, the ownerReference where it may, and the hash."""
    keep: frozenset[Ref] = field(default_factory=frozenset[Ref])
    """Children that stay as they are, although they are not among the objects."""
    cluster: str = LOCAL
    """Name of the cluster that the objects are made in."""
    shared: Sequence[SharedObject] = ()
    """What the objects refer to: created before them where it does not exist."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What to report to the user, and when to reconcile again."""

    status: Status | None
    """The part of the status that is the controller's, conditions with `now` as transition time: the engine keeps the
    old time of those that did not change and writes only what differs. None for a kind whose status is not ours."""
    requeue_after: float | None = None
    """Seconds until the next reconcile, for changes that no watch reports."""
