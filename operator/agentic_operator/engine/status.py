"""What is written to a status, and whether it is worth a write; pure. The reconciler calls it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from agentic_core import names
from agentic_core.cluster.kinds import Object
from agentic_crds.base import Condition, Status
from agentic_operator.engine.children import Refusal


def document(status: Status, before: dict[str, Any]) -> dict[str, Any]:
    """The status as JSON, where conditions that did not change their status keep their old transition time."""
    body: dict[str, Any] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    old = {condition["type"]: condition for condition in before.get("conditions") or []}
    for condition in body.get("conditions") or []:
        condition["lastTransitionTime"] = condition["lastTransitionTime"][:19] + "Z"
        known = old.get(condition["type"])
        if known and known["status"] == condition["status"]:
            condition["lastTransitionTime"] = known["lastTransitionTime"]
    return body


def differs(body: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether a write would change anything."""
    return _sorted(body) != _sorted(before)


def outcome(body: dict[str, Any], after: dict[str, Any]) -> bytes:
    """A status that was written and what it became; more than that where others have fields in it."""
    return orjson.dumps([body, after], option=orjson.OPT_SORT_KEYS)


def _sorted(body: dict[str, Any]) -> dict[str, Any]:
    filled = {key: value for key, value in body.items() if value not in ([], {}, None)}
    conditions = sorted(body.get("conditions") or [], key=lambda condition: str(condition["type"]))
    return filled | ({"conditions": conditions} if conditions else {})


def patch(obj: Object, body: dict[str, Any]) -> Object:
    """The object to apply; its uid keeps a successor of the same name safe."""
    metadata = {key: obj["metadata"][key] for key in ("name", "namespace", "uid") if key in obj["metadata"]}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": body}


def with_refusals(status: Status, refusals: Sequence[Refusal], *, generation: int, now: datetime) -> Status:
    """The status with Ready=False because of children that could not be made, and Conflict=True for foreign ones."""
    foreign = [refusal for refusal in refusals if refusal.foreign]
    message = "; ".join(refusal.message for refusal in foreign or refusals)

    def condition(name: str, value: str, reason: str) -> Condition:
        return Condition.model_validate(
            {
                "type": name,
                "status": value,
                "reason": reason,
                "message": message[:32768],
                "observedGeneration": generation,
                "lastTransitionTime": now,
            }
        )

    added = [condition(names.READY, "False", names.CONFLICT if foreign else "Refused")]
    if foreign:
        added.append(condition(names.CONFLICT, "True", "ForeignObject"))
    replaced = {names.READY, names.CONFLICT, names.RECONCILING}
    kept = [condition for condition in status.conditions if condition.type not in replaced]
    return status.model_copy(update={"conditions": [*kept, *added], "observed_generation": generation})


def stalled(message: str, *, generation: int, now: datetime) -> Status:
    """The status of a resource that cannot be understood: a newer schema's, as only a mixed installation has it."""
    common = {"message": message[:1024], "observedGeneration": generation, "lastTransitionTime": now}
    ready = {"type": names.READY, "status": "False", "reason": "NotUnderstood"}
    stalled = {"type": names.STALLED, "status": "True", "reason": "NotUnderstood"}
    return Status(
        observed_generation=generation,
        conditions=[Condition.model_validate(ready | common), Condition.model_validate(stalled | common)],
    )
