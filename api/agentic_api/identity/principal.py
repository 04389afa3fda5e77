"""Who calls, as a verified credential says it; endpoints, services and the catalog take it as an argument."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from agentic_core.auth.api_keys import RANK, Role


class Proof(StrEnum):
    """How a principal was proven."""

    API_KEY = "api_key"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What all principals have."""

    subject: str
    """Who it is, unique among all proofs: the id of an API key. Audit log and rate limits name it."""
    proof: Proof
    scopes: frozenset[str] | None = None
    """Parts of the API, by the tags of their endpoints, that the credential is good for; None means all."""

    def in_scope(self, scope: str) -> bool:
        """Whether the credential is good for this part of the API."""
        return self.scopes is None or scope in self.scopes


@dataclass(frozen=True, kw_only=True)
class Principal(Identity):
    """A caller inside a tenant. Everything tenant-scoped is found through it, never through a header or a body."""

    tenant_id: UUID
    """The Tenant's metadata.uid: the scope of rows."""
    tenant: str
    """Name of the Tenant."""
    default_namespace: str
    """Where names without a namespace live."""
    roles: frozenset[Role] = field(default_factory=frozenset[Role])
    """Its roles inside the tenant."""

    def may(self, role: Role) -> bool:
        """Whether one of its roles is at least `role`."""
        return any(RANK[own] >= RANK[role] for own in self.roles)

    @property
    def shown_roles(self) -> str:
        """Its roles, for messages."""
        return ", ".join(sorted(self.roles)) or "none"


@dataclass(frozen=True, kw_only=True)
class PlatformAdmin(Identity):
    """The platform's own administrator: manages keys of all tenants, belongs to none and sees no tenant's data."""

    roles: ClassVar[frozenset[Role]] = frozenset({Role.PLATFORM_ADMIN})


Caller = Principal | PlatformAdmin
