"""Whether an object is still what was applied; pure. The engine calls it before each write, to avoid it."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentic_core.quantity import same_quantity

KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that several managers share, and the key of their items. Others, such as the ports of a network policy, belong
to one manager as a whole: a further item is drift."""


def difference(wanted: Any, found: Any, path: str = "") -> str | None:
    """The path of the first field of `wanted` that `found` does not have with the same value; None when it has all.

    Further fields, and further items of shared lists, in `found` belong to other managers. Quantities are compared by
    their amount.
    """
    if wanted == found:
        return None
    if isinstance(wanted, dict):
        return _of_mappings(wanted, found if isinstance(found, dict) else {}, path)
    if isinstance(wanted, list | tuple):
        return _of_lists(wanted, found if isinstance(found, list) else [], path)
    if (found is None and not wanted) or same_quantity(str(wanted), str(found)):
        return None
    return path


def _of_mappings(wanted: Mapping[str, Any], found: Mapping[str, Any], path: str) -> str | None:
    for key, value in wanted.items():
        if (where := difference(value, found.get(key), f"{path}.{key}" if path else key)) is not None:
            return where
    return None


def _of_lists(wanted: Sequence[Any], found: Sequence[Any], path: str) -> str | None:
    key = _list_key(path)
    if key is None:
        if len(wanted) != len(found):
            return path
        pairs = list(zip(wanted, found, strict=True))
    else:
        by_key = {item.get(key): item for item in found if isinstance(item, dict)}
        pairs = [(item, by_key.get(item[key])) for item in wanted]
    for number, (item, other) in enumerate(pairs):
        if other is None and item:
            return f"{path}[{number}]"
        if (where := difference(item, other, f"{path}[{number}]")) is not None:
            return where
    return None


def _list_key(path: str) -> str | None:
    field = path.rpartition(".")[2]
    if field == "ports":
        return "port" if path == "spec.ports" else "containerPort" if "containers[" in path else None
    return KEYS.get(field)
