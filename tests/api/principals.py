"""Principals as an API key proves them."""

from uuid import UUID

from agentic_api.identity.principal import Principal, Proof
from agentic_core.auth.api_keys import Role


def principal(tenant_id: UUID, tenant: str, role: Role) -> Principal:
    """A caller of this role in a tenant."""
    return Principal(
        subject="k",
        proof=Proof.API_KEY,
        tenant_id=tenant_id,
        tenant=tenant,
        default_namespace=f"{tenant}-default",
        roles=frozenset({role}),
    )
