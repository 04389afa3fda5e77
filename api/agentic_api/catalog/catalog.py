"""Which custom resources a caller sees, read from memory. Endpoints and services call it.

It never calls the API server. A name of another tenant's namespace is as unknown as one that does not exist. A tenant
is its uid: a caller of a Tenant that is deleted sees nothing of the next one of its name.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from agentic_api.identity.principal import Principal
from agentic_core.cluster.kinds import Object, Ref
from agentic_core.cluster.watches import stores
from agentic_core.errors import NotFound
from agentic_crds import Resource, Tenant

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class NamespacedName(NamedTuple):
    """Where a resource is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True)
class TenantNamespaces:
    """Where the resources of a tenant are."""

    default: str
    """The namespace that names without a namespace refer to."""
    all: frozenset[str]
    """Namespaces that are the tenant's, as the operator found them: one that it claims but another holds is not."""
    tenant_id: str = ""
    """Uid of the Tenant; empty when it is being deleted, which ends its credentials."""


class Catalog:
    """The custom resources that the api holds in memory: a store for each kind that it may read."""

    def __init__(self, on_tenant: Callable[[str], None] = lambda _name: None) -> None:
        """`on_tenant` is called with the name of each Tenant that changed."""
        self._on_tenant = on_tenant
        self._namespaces: dict[str, TenantNamespaces] = {}
        """Of Tenants that have not changed since."""
        self.stores = stores(lambda kind: kind.api, {Tenant: self._tenant_changed})

    def tenant(self, name: str) -> Object | None:
        """The Tenant of this name."""
        return self.stores[Tenant].get("", name)

    def tenant_id(self, name: str) -> UUID:
        """The uid of the Tenant of this name."""
        found = self.tenant(name)
        if found is None:
            raise NotFound(f"Tenant {name!r} not found. Create the Tenant resource first: kubectl get tenants.")
        return UUID(found["metadata"]["uid"])

    def namespaces(self, tenant: str) -> TenantNamespaces:
        """The namespaces of a tenant; an unknown one has none."""
        cached = self._namespaces.get(tenant)
        if cached is None:
            found = self.tenant(tenant)
            if found is None:
                return TenantNamespaces(f"{tenant}-default", frozenset())
            cached = self._namespaces[tenant] = namespaces_of(found)
        return cached

    def namespaces_by_uid(self, tenant_id: UUID, name: str) -> TenantNamespaces | None:
        """The namespaces of the Tenant with this uid and name; None when it is not there or is being deleted."""
        found = self.namespaces(name)
        return found if found.tenant_id == str(tenant_id) else None

    def default_namespace(self, tenant_id: UUID, name: str) -> str | None:
        """The default namespace of the Tenant with this uid and name; None when it is not there or is being deleted."""
        found = self.namespaces_by_uid(tenant_id, name)
        return found.default if found else None

    def own_namespaces(self, principal: Principal) -> frozenset[str]:
        """The namespaces of the caller's tenant."""
        found = self.namespaces_by_uid(principal.tenant_id, principal.tenant)
        return found.all if found else frozenset()

    def locate(self, kind: type[Resource], principal: Principal, name: str) -> NamespacedName:
        """Where the resource would be: `name`, or `namespace.name` in a namespace of the caller's tenant."""
        namespace, dot, short = name.rpartition(".")
        key = NamespacedName(namespace if dot else principal.default_namespace, short)
        if LABEL.fullmatch(short) and (not dot or namespace in self.own_namespaces(principal)):
            return key
        raise unknown(kind, name)

    def find(self, kind: type[Resource], principal: Principal, name: str) -> Object:
        """The resource of this name; NotFound also when it is another tenant's."""
        key = self.locate(kind, principal, name)
        if key.namespace in self.own_namespaces(principal):
            found = self.stores[kind].get(*key)
            if found is not None:
                return found
        raise unknown(kind, name)

    def page(
        self, kind: type[Resource], principal: Principal, *, limit: int, after: str | None
    ) -> tuple[list[Object], str | None]:
        """Resources of the caller's tenant by namespace and name, and where the next page starts."""
        found: list[Object] = []
        last = ""
        for key in self._keys(kind, principal, after):
            if len(found) == limit:
                return found, last
            item = self.stores[kind].get(*key)
            if item is not None:
                found.append(item)
                last = str(key)
        return found, None

    def _keys(self, kind: type[Resource], principal: Principal, after: str | None) -> Iterator[NamespacedName]:
        start_namespace, _, start_name = (after or "").partition(".")
        for namespace in sorted(self.own_namespaces(principal)):
            if namespace < start_namespace:
                continue
            inside = start_name if namespace == start_namespace else None
            for name in self.stores[kind].names(namespace, after=inside):
                yield NamespacedName(namespace, name)

    def _tenant_changed(self, ref: Ref, _tenant: Object | None) -> None:
        self._namespaces.pop(ref.name, None)
        self._on_tenant(ref.name)


def namespaces_of(tenant: Object) -> TenantNamespaces:
    """The namespaces of a Tenant."""
    status = tenant.get("status", {})
    reported = status.get("namespaces", [])
    held = frozenset(item["name"] for item in reported if item["phase"] != "Conflict")
    default = status.get("defaultNamespace") or Tenant.model_validate(tenant).namespace_names[0]
    meta = tenant["metadata"]
    return TenantNamespaces(default, held, "" if meta.get("deletionTimestamp") else meta["uid"])


def unknown(kind: type[Resource], name: str) -> NotFound:
    """The one error for resources that do not exist and for those of others."""
    return NotFound(f"{kind.kind_name} {name[:120]!r} not found in the namespaces of your tenant.")
