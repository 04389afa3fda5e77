"""Which Tenant a namespace belongs to, and which events matter to whom; all controllers use it."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, Object, Ref, custom
from agentic_crds import Resource, Tenant
from agentic_operator.engine.index import Change, Index

TENANT = custom(Tenant)

ResourceT = TypeVar("ResourceT", bound=Resource)


class Parsed(Generic[ResourceT]):
    """Typed resources of the index, so that what ten thousand agents refer to is not parsed ten thousand times."""

    def __init__(self, model: type[ResourceT]) -> None:
        self._model = model
        self._known: dict[Ref, tuple[int, ResourceT | None]] = {}

    def find(self, ref: Ref, index: Index) -> ResourceT | None:
        """The resource, if it is there and can be read."""
        entry = index.entry(ref)
        if entry is None:
            self._known.pop(ref, None)
            return None
        known = self._known.get(ref)
        if known is None or known[0] != entry.version:
            known = self._known[ref] = (entry.version, self.read(index.get(ref)))
        return known[1]

    def read(self, obj: Object | None) -> ResourceT | None:
        """The resource; None when it breaks rules of its kind that the API server did not know when it was written."""
        try:
            return self._model.model_validate(obj)
        except ValueError:
            return None


def matters(change: Change, fingerprint: Callable[[Object], Hashable]) -> bool:
    """Whether the object differs from what it was in what matters; that it came or went always does."""
    if change.after is None or (was := change.was) is None:
        return True
    return fingerprint(was) != fingerprint(change.obj)


def spec_of(obj: Object) -> Hashable:
    """The fingerprint of what users write."""
    metadata = obj["metadata"]
    return metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp")


def membership_of(namespace: Object) -> Hashable:
    """The fingerprint of what makes a namespace part of a tenant."""
    metadata = namespace["metadata"]
    return metadata["uid"], (metadata.get("labels") or {}).get(names.TENANT), metadata.get("deletionTimestamp")


def tenant_of(namespace: str, index: Index, parsed: Parsed[Tenant]) -> Tenant | None:
    """The Tenant that has this namespace: the namespace says so by its label, and the Tenant says so too, or did when
    the namespace was made for it."""
    obj = index.get(NAMESPACE.ref(namespace))
    name = (obj["metadata"].get("labels") or {}).get(names.TENANT) if obj else None
    tenant = parsed.find(TENANT.ref(name), index) if name else None
    return tenant if tenant and _has(tenant, namespace, index) else None


def _has(tenant: Tenant, namespace: str, index: Index) -> bool:
    ref = TENANT.ref(tenant.metadata.name)
    return namespace in tenant.namespace_names or index.owns(ref, NAMESPACE.ref(namespace))


def places_of(tenant: Tenant, index: Index) -> list[str]:
    """The namespaces that the Tenant declares, then those that it declared once and that are still there."""
    children = index.children(TENANT.ref(tenant.metadata.name))
    there = sorted(ref.name for ref in children if ref.kind == NAMESPACE)
    return list(dict.fromkeys([*tenant.namespace_names, *there]))
