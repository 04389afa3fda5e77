"""Who calls, as the verified credential says it; endpoints, services and the catalog take it as an argument."""

from dataclasses import dataclass
from uuid import UUID

from agentic_core.auth.api_keys import RANK, Role


@dataclass(frozen=True)
class Principal:
    """A caller inside a tenant. Everything tenant-scoped is found through it, never through a header or a body."""

    tenant_id: UUID
    """The Tenant's metadata.uid: the scope of rows."""
    tenant: str
    """Name of the Tenant."""
    default_namespace: str
    """Where names without a namespace live."""
    role: Role
    key_id: str

    def may(self, role: Role) -> bool:
        """Whether the caller's role is at least `role`."""
        return RANK[self.role] >= RANK[role]


@dataclass(frozen=True)
class PlatformAdmin:
    """The platform's own administrator: manages keys of all tenants, belongs to none and sees no tenant's data."""

    key_id: str


Caller = Principal | PlatformAdmin
