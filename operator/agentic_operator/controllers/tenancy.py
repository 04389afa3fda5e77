"""Which Tenant a namespace belongs to, and which events matter to whom; all controllers use it."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, Object, Ref, custom, ref_of
from agentic_crds import Resource, Tenant
from agentic_operator.engine.index import Index

TENANT = custom(Tenant)

ResourceT = TypeVar("ResourceT", bound=Resource)


class Parsed(Generic[ResourceT]):
    """Typed resources by uid, so that what ten thousand agents refer to is not parsed ten thousand times."""

    def __init__(self, model: type[ResourceT]) -> None:
        self._model = model
        self._known: dict[str, tuple[str, ResourceT | None]] = {}

    def __call__(self, obj: Object) -> ResourceT | None:
        """The resource; None when it breaks rules of its kind that the API server did not know when it was written."""
        uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
        known = self._known.get(uid)
        if known is None or known[0] != version:
            known = (version, self._parse(obj))
            self._known[uid] = known
        return known[1]

    def _parse(self, obj: Object) -> ResourceT | None:
        try:
            return self._model.model_validate(obj)
        except ValueError:
            return None


class Changes:
    """Tells events that matter from those that do not, such as the status of a Tenant for its agents."""

    def __init__(self, fingerprint: Callable[[Object], Hashable]) -> None:
        self._fingerprint = fingerprint
        self._seen: dict[Ref, Hashable] = {}

    def matter(self, obj: Object, index: Index) -> bool:
        """Whether the object differs, in what matters, from what it was at its last event; its end always matters."""
        ref = ref_of(obj)
        if index.get(ref) is None:
            self._seen.pop(ref, None)
            return True
        mark = self._fingerprint(obj)
        changed = ref not in self._seen or self._seen[ref] != mark
        self._seen[ref] = mark
        return changed


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
    owner = index.get(TENANT.ref(name)) if name else None
    tenant = parsed(owner) if owner else None
    return tenant if tenant and _has(tenant, namespace, index) else None


def _has(tenant: Tenant, namespace: str, index: Index) -> bool:
    ref = TENANT.ref(tenant.metadata.name)
    return namespace in tenant.namespace_names or index.owns(ref, NAMESPACE.ref(namespace))


def places_of(tenant: Tenant, index: Index) -> list[str]:
    """The namespaces that the Tenant declares, then those that it declared once and that are still there."""
    children = index.children(TENANT.ref(tenant.metadata.name))
    there = sorted(ref.name for ref in children if ref.kind == NAMESPACE)
    return list(dict.fromkeys([*tenant.namespace_names, *there]))
