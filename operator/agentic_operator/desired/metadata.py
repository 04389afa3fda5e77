"""Labels and metadata of every object that the operator makes; all builders start from it."""

from agentic_core import names
from agentic_core.cluster.kinds import Kind, Object


def labels(*, tenant: str, name: str | None = None) -> dict[str, str]:
    """Labels of an object of a tenant; `name` is what runs in it."""
    program = {names.NAME: name} if name else {}
    return {names.TENANT: tenant, names.MANAGED_BY: names.OPERATOR, names.PART_OF: names.PLATFORM} | program


def object_of(kind: Kind, name: str, namespace: str | None, labels: dict[str, str]) -> Object:
    """An object with nothing but its metadata."""
    head = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": head | {"labels": labels}}
