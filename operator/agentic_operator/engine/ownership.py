"""How a child tells whose it is, and how we tell whose an object is; pure. The engine uses it around each apply."""

import hashlib
from typing import Any

import orjson

from agentic_core import names
from agentic_core.cluster.kinds import Object, Ref, ref_of

SELECTOR = f"{names.MANAGED_BY}={names.OPERATOR}"
"""Selects all children."""
NEVER_COPIED = ("app.kubernetes.io/instance", "argocd.argoproj.io/")
"""Marks by which Argo CD would take a child for its own, and delete it."""


def labels(owner: Ref) -> dict[str, str]:
    """The labels that name the owner."""
    found = {names.MANAGED_BY: names.OPERATOR, names.OWNER_KIND: owner.kind.name, names.OWNER_NAME: owner.name}
    return found | ({names.OWNER_NAMESPACE: owner.namespace} if owner.namespace else {})


def owned(child: Object, owner: Object) -> Object:
    """The child as it is applied: with the owner's labels, its ownerReference where allowed, and its own hash."""
    ref, metadata = ref_of(owner), child["metadata"]
    wanted: dict[str, Any] = {
        **metadata,
        "labels": _allowed(metadata.get("labels")) | labels(ref),
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


def is_ours(found: Object, owner: Object) -> bool:
    """Whether the object was made by us for this owner: by its ownerReference, by its labels, or by its field manager
    when somebody took the labels away."""
    references = found["metadata"].get("ownerReferences") or []
    if any(reference["uid"] == owner["metadata"]["uid"] for reference in references):
        return True
    present = found["metadata"].get("labels") or {}
    if present.get(names.MANAGED_BY) == names.OPERATOR and names.OWNER_KIND in present:
        return labels(ref_of(owner)).items() <= present.items()
    fields = found["metadata"].get("managedFields") or []
    return any(entry["manager"] == names.OPERATOR_MANAGER and "subresource" not in entry for entry in fields)


def may_adopt(found: Object) -> bool:
    """Whether a person allowed us to take the object over."""
    return (found["metadata"].get("annotations") or {}).get(names.ADOPT) == "true"


def other_managers(found: Object) -> str:
    """Who else has written to the object, the latest first, for the news about drift."""
    fields = [
        entry
        for entry in found["metadata"].get("managedFields") or []
        if entry["manager"] != names.OPERATOR_MANAGER and entry.get("subresource") != "status"
    ]
    fields.sort(key=lambda entry: entry.get("time", ""), reverse=True)
    return fields[0]["manager"] if fields else "somebody"


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
