"""What a controller writes to a status, and whether a write is needed; pure. The reconciler calls it.

Each controller owns fields and conditions of the status; what others have in it is neither compared nor written.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from agentic_core import names
from agentic_core.cluster.kinds import Object
from agentic_crds.base import Condition, Status
from agentic_operator.engine.children import ChildRefusal
from agentic_operator.engine.controller import AnyController

MAX_MESSAGE = 32768
"""Longest message of a condition, in characters."""


def document(status: Status, before: dict[str, Any], controller: AnyController) -> dict[str, Any]:
    """The controller's part of the status as JSON. Conditions that did not change their status keep their transition
    time. Raises ValueError when the controller sets what it does not own."""
    body: dict[str, Any] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    body = {field: value for field, value in body.items() if value not in ([], {})}
    _check_owned(body, controller)
    old = {condition["type"]: condition for condition in before.get("conditions") or []}
    for condition in body.get("conditions", ()):
        condition["lastTransitionTime"] = condition["lastTransitionTime"][:19] + "Z"
        found = old.get(condition["type"])
        if found and found["status"] == condition["status"]:
            condition["lastTransitionTime"] = found["lastTransitionTime"]
    return body


def differs(body: dict[str, Any], before: dict[str, Any], controller: AnyController) -> bool:
    """Whether a write would change the controller's part of the status."""
    return _part(body, controller) != _part(before, controller)


def _part(status: dict[str, Any], controller: AnyController) -> dict[str, Any]:
    owned = {field: value for field, value in status.items() if field in controller.status_fields}
    fields = {field: value for field, value in owned.items() if value not in ([], {}, None)}
    found = {one["type"]: one for one in status.get("conditions") or () if one["type"] in controller.conditions}
    return fields | {"conditions": found}


def _check_owned(body: dict[str, Any], controller: AnyController) -> None:
    types = {condition["type"] for condition in body.get("conditions", ())}
    fields = body.keys() - {"conditions"}
    if foreign := (types - controller.conditions) | (fields - controller.status_fields):
        raise ValueError(f"controller {controller.name} sets {', '.join(sorted(foreign))} without owning it")


def patch(obj: Object, body: dict[str, Any]) -> Object:
    """The object to apply; its uid keeps a successor of the same name safe."""
    metadata = {key: obj["metadata"][key] for key in ("name", "namespace", "uid") if key in obj["metadata"]}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": body}


def with_refusals(
    status: Status, refusals: Sequence[ChildRefusal], *, controller: AnyController, generation: int, now: datetime
) -> Status:
    """The status with the summary False for children that could not be made, and Conflict True for foreign ones."""
    foreign = [refusal for refusal in refusals if refusal.foreign]
    message = "; ".join(refusal.message for refusal in foreign or refusals)
    reason = names.CONFLICT if foreign else "Refused"
    added = [_condition(controller.summary, "False", reason, message=message, generation=generation, now=now)]
    if foreign and names.CONFLICT in controller.conditions:
        added.append(
            _condition(names.CONFLICT, "True", "ForeignObject", message=message, generation=generation, now=now)
        )
    replaced = {controller.summary, names.CONFLICT, names.RECONCILING}
    kept = [condition for condition in status.conditions if condition.type not in replaced]
    return status.model_copy(update={"conditions": [*kept, *added]})


def stalled(message: str, *, controller: AnyController, generation: int, now: datetime) -> Status:
    """The status of a resource that cannot be parsed: one of a newer schema, as only a mixed installation has it."""
    reported: dict[str, Literal["True", "False"]] = {controller.summary: "False", names.STALLED: "True"}
    return Status(
        observed_generation=generation if "observedGeneration" in controller.status_fields else None,
        conditions=[
            _condition(kind, value, "NotUnderstood", message=message[:1024], generation=generation, now=now)
            for kind, value in reported.items()
            if kind in controller.conditions
        ],
    )


def _condition(
    kind: str, value: Literal["True", "False"], reason: str, *, message: str, generation: int, now: datetime
) -> Condition:
    return Condition(
        type=kind,
        status=value,
        reason=reason,
        message=message[:MAX_MESSAGE],
        observed_generation=generation,
        last_transition_time=now,
    )
