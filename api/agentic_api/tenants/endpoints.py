"""The endpoint `/api/v1/tenants`."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict

from agentic_api.identity.principal import Principal
from agentic_api.web.auth import AnyCaller
from agentic_api.web.context import Ctx
from agentic_api.web.routing import router as domain_router
from agentic_core import names
from agentic_core.errors import NotFound
from agentic_crds import Tenant
from agentic_crds.tenant import QuotaStatus

router = domain_router("/api/v1/tenants", tag="tenants")


class TenantView(BaseModel):
    """A tenant."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """Name of the tenant."""
    display_name: str
    """Name shown to people."""
    ready: bool
    """Whether everything that belongs to it is there."""
    message: str
    """What is the case and what to do about it."""
    default_namespace: str
    """The namespace that names without a namespace refer to."""
    namespaces: list[str]
    """The tenant's namespaces."""
    allowed_models: list[str]
    """Patterns of models that may be called."""
    quotas: list[QuotaStatus]
    """Quota used and allowed."""


@router.get("/{name}")
async def get_tenant(
    name: Annotated[str, Path(max_length=64, description="Name of the tenant.", examples=["acme"])],
    caller: AnyCaller,
    context: Ctx,
) -> TenantView:
    """Get a tenant: the caller's own, or any for a platform admin."""
    found = context.catalog.tenant(name)
    if found is None or (isinstance(caller, Principal) and str(caller.tenant_id) != found["metadata"]["uid"]):
        raise NotFound(f"Tenant {name!r} not found.")
    namespaces = context.catalog.namespaces(name)
    return _view(Tenant.model_validate(found), namespaces.default, sorted(namespaces.all))


def _view(tenant: Tenant, default_namespace: str, namespaces: list[str]) -> TenantView:
    status = tenant.status
    ready = next((item for item in status.conditions if item.type == names.READY), None) if status else None
    return TenantView(
        name=tenant.metadata.name,
        display_name=tenant.spec.display_name or tenant.metadata.name,
        ready=ready is not None and ready.status == "True",
        message=ready.message if ready else "The operator has not seen the tenant yet.",
        default_namespace=default_namespace,
        namespaces=namespaces,
        allowed_models=tenant.spec.ai.models.allowed,
        quotas=status.quotas if status else [],
    )
