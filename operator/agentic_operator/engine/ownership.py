"""The marks of a child by which its owner is found, and the checks whose an object is; pure. The engine uses it around
each apply.

The owner of a child is a resource and one of its controllers. The main controller of a kind is not named on children.
"""

import hashlib
from typing import Any

import orjson

from agentic_core import names
from agentic_core.cluster.kinds import Object, Ref, ref_of
from agentic_crds import Tenant

SELECTOR = f"{names.MANAGED_BY}={names.OPERATOR}"
"""Selects all children."""
NEVER_COPIED = ("app.kubernetes.io/instance", "argocd.argoproj.io/")
"""Marks by which Argo CD would consider a child its own, and delete it."""


def labels(owner: Ref, controller: str = "") -> dict[str, str]:
    """The labels that name the owner; `controller` is the label of a controller that is not the main one."""
    found = {names.MANAGED_BY: names.OPERATOR, names.OWNER_KIND: owner.kind.name, names.OWNER_NAME: owner.name}
    if owner.namespace:
        found[names.OWNER_NAMESPACE] = owner.namespace
    if controller:
        found[names.OWNER_CONTROLLER] = controller
    return found


def owned(child: Object, owner: Object, controller: str = "") -> Object:
    """The child as it is applied: with the owner's labels, its ownerReference where allowed, and its own hash."""
    ref, metadata = ref_of(owner), child["metadata"]
    wanted: dict[str, Any] = {
        **metadata,
        "labels": _allowed(metadata.get("labels")) | labels(ref, controller),
        "annotations": _allowed(metadata.get("annotations")),
    }
    if ref.namespace in (None, metadata.get("namespace")):
        wanted["ownerReferences"] = [_reference(owner)]
    body = child | {"metadata": wanted}
    wanted["annotations"][names.SPEC_HASH] = digest(body)
    return body


def digest(body: Object) -> str:
    """A hash of all that is applied."""
    return hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=10).hexdigest()


def is_ours(found: Object, owner: Object, controller: str = "") -> bool:
    """Whether the object was made for this owner by this controller: by its ownerReference, by its labels, or by its
    field manager when the labels were removed."""
    if owner["kind"] == Tenant.kind_name and of_predecessor(found, owner["metadata"]["uid"]):
        return False
    present = found["metadata"].get("labels") or {}
    references = found["metadata"].get("ownerReferences") or []
    if any(reference["uid"] == owner["metadata"]["uid"] for reference in references):
        return bool(present.get(names.OWNER_CONTROLLER, "") == controller)
    if present.get(names.MANAGED_BY) == names.OPERATOR and names.OWNER_KIND in present:
        same_controller = present.get(names.OWNER_CONTROLLER, "") == controller
        return same_controller and labels(ref_of(owner), controller).items() <= present.items()
    fields = found["metadata"].get("managedFields") or []
    return any(entry["manager"] == manager(controller) and "subresource" not in entry for entry in fields)


def of_predecessor(found: Object, tenant_uid: str) -> bool:
    """Whether the object is a namespace of an earlier Tenant of the same name, which was another customer.

    A namespace without the label is one that an earlier version of the operator made.
    """
    return (found["metadata"].get("labels") or {}).get(names.TENANT_UID) not in (None, tenant_uid)


def manager(controller: str = "") -> str:
    """Field manager of the children, and of the finalizer, of the controller with this label."""
    return f"{names.OPERATOR_MANAGER}-{controller}" if controller else names.OPERATOR_MANAGER


def may_adopt(found: Object) -> bool:
    """Whether a user allowed the operator to take the object over."""
    return (found["metadata"].get("annotations") or {}).get(names.ADOPT) == "true"


def foreign(ref: Ref, found: Object) -> str:
    """Whose an object is that stands in the place of a child, and what to do about it."""
    present = found["metadata"].get("labels") or {}
    kind, other = present.get(names.OWNER_KIND), present.get(names.OWNER_NAME)
    whose = f"belongs to {kind} {other}" if kind and other else "was not made by the platform"
    if uid := present.get(names.TENANT_UID):
        whose += f" with the uid {uid}"
    if controller := present.get(names.OWNER_CONTROLLER):
        whose += f" (controller {controller})"
    advice = f"rename one of the two, delete it, or annotate it {names.ADOPT}=true"
    return f"{ref} exists and {whose}: {advice}"


def last_other_manager(found: Object) -> str:
    """The field manager that wrote to the object last, beside the operator's own; for the event about drift."""
    fields = [
        entry
        for entry in found["metadata"].get("managedFields") or []
        if not entry["manager"].startswith(names.OPERATOR_MANAGER) and entry.get("subresource") != "status"
    ]
    fields.sort(key=lambda entry: entry.get("time", ""), reverse=True)
    return fields[0]["manager"] if fields else "an unknown manager"


def _allowed(marks: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (marks or {}).items() if not key.startswith(NEVER_COPIED)}


def _reference(owner: Object) -> dict[str, Any]:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
