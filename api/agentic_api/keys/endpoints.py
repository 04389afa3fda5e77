"""The endpoints `/api/v1/keys`."""

from typing import Annotated

from fastapi import Path, Query

from agentic_api.keys.schemas import CreatedKey, KeyView, NewKeyBody, TenantName
from agentic_api.web.auth import AnyCaller
from agentic_api.web.context import Ctx
from agentic_api.web.pagination import Page, PageParams, cursor
from agentic_api.web.routing import router as domain_router

router = domain_router("/api/v1/keys", tag="keys")

KeyId = Annotated[str, Path(max_length=64, description="Id of the key.", examples=["aaaaaaaaaaaaaaaa"])]
OfTenant = Annotated[TenantName | None, Query(description="Name of the tenant; for platform admins.")]


@router.post("", status_code=201)
async def create_key(body: NewKeyBody, caller: AnyCaller, context: Ctx) -> CreatedKey:
    """Make an API key. The response is the only place where the key itself is ever shown."""
    return await context.keys.create(caller, body)


@router.get("")
async def list_keys(caller: AnyCaller, context: Ctx, page: PageParams, tenant: OfTenant = None) -> Page[KeyView]:
    """List the keys of the tenant; a platform admin without `tenant` sees the platform's own."""
    found = await context.keys.page(caller, tenant, limit=page.limit + 1, after=page.after)
    more = len(found) > page.limit
    shown = found[: page.limit]
    return Page(items=shown, next_cursor=cursor(shown[-1].id) if more else None)


@router.delete("/{key_id}", status_code=204)
async def revoke_key(key_id: KeyId, caller: AnyCaller, context: Ctx, tenant: OfTenant = None) -> None:
    """Revoke a key. It stops working within five seconds everywhere."""
    await context.keys.revoke(caller, tenant, key_id)
    context.api_keys.forget(key_id)
