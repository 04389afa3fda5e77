"""Which Tenant a namespace belongs to, and which changes of both matter to others; all controllers use it."""

from collections.abc import Hashable

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, Object, custom
from agentic_crds import Tenant
from agentic_operator.controllers.parsed import Parsed
from agentic_operator.engine import ownership
from agentic_operator.engine.index import Index
from agentic_operator.engine.key import ReconcileKey

TENANT = custom(Tenant)
TENANT_CONTROLLER = "tenant"
"""Name of the controller that makes the namespaces of tenants."""


def spec_of(obj: Object) -> Hashable:
    """The fingerprint of what users write."""
    metadata = obj["metadata"]
    return metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp")


def membership_of(namespace: Object) -> Hashable:
    """The fingerprint of what makes a namespace part of a tenant."""
    metadata = namespace["metadata"]
    labels = metadata.get("labels") or {}
    return metadata["uid"], labels.get(names.TENANT), labels.get(names.TENANT_UID), metadata.get("deletionTimestamp")


def tenant_of(namespace: str, index: Index, parsed: Parsed[Tenant]) -> Tenant | None:
    """The Tenant that has this namespace: the labels of the namespace name it and its uid, and the Tenant declares the
    namespace, or did when the namespace was made for it."""
    obj = index.get(NAMESPACE.ref(namespace))
    name = (obj["metadata"].get("labels") or {}).get(names.TENANT) if obj else None
    tenant = parsed.find(TENANT.ref(name), index) if name else None
    if obj is None or tenant is None or ownership.of_predecessor(obj, tenant.metadata.uid):
        return None
    return tenant if _has(tenant, namespace, index) else None


def _has(tenant: Tenant, namespace: str, index: Index) -> bool:
    return namespace in tenant.namespace_names or index.owns(_key(tenant), NAMESPACE.ref(namespace))


def namespaces_of(tenant: Tenant, index: Index) -> list[str]:
    """The namespaces that the Tenant declares, then those that it declared once and that still exist."""
    existing = sorted(ref.name for ref in index.children(_key(tenant)) if ref.kind == NAMESPACE)
    return list(dict.fromkeys([*tenant.namespace_names, *existing]))


def _key(tenant: Tenant) -> ReconcileKey:
    return ReconcileKey(TENANT_CONTROLLER, TENANT.ref(tenant.metadata.name))
