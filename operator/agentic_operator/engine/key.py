"""What is reconciled: one object by one controller. The queue orders these keys, and children name theirs by labels."""

from dataclasses import dataclass

from agentic_core.cluster.kinds import Ref


@dataclass(frozen=True, slots=True)
class ReconcileKey:
    """An object and the name of the controller that reconciles it; the owner of what that controller makes for it."""

    controller: str
    ref: Ref
