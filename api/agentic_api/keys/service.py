"""Which keys a caller may make, see and revoke; the endpoints call it."""

from datetime import timedelta
from uuid import UUID

from agentic_api.catalog.catalog import Catalog
from agentic_api.identity.principal import Caller, PlatformAdmin
from agentic_api.keys.repository import KeyRepository
from agentic_api.keys.schemas import CreatedKey, KeyView, NewKeyBody
from agentic_core.auth import api_keys
from agentic_core.auth.api_keys import Role
from agentic_core.clock import Clock
from agentic_core.db import PLATFORM_TENANT, Database
from agentic_core.db.audit import AuditRepository
from agentic_core.errors import Conflict, Forbidden, Invalid, NotFound


class TooManyKeys(Conflict):
    """The tenant has as many keys in force as it may have."""

    code, title = "too_many_keys", "Too many keys"


class Keys:
    """API keys of tenants and of the platform."""

    def __init__(self, database: Database, catalog: Catalog, *, pepper: bytes, clock: Clock, per_tenant: int) -> None:
        """`per_tenant` bounds the keys in force of a tenant, and those of the platform."""
        self._per_tenant = per_tenant
        self._database = database
        self._catalog = catalog
        self._pepper = pepper
        self._clock = clock

    async def create(self, caller: Caller, body: NewKeyBody) -> CreatedKey:
        """Make a key. Its secret is in the response and nowhere else."""
        if (body.role is Role.PLATFORM_ADMIN) and (not isinstance(caller, PlatformAdmin) or body.tenant):
            raise Forbidden("Keys with the role platform-admin are made by a platform admin, without a tenant.")
        scope = PLATFORM_TENANT if body.role is Role.PLATFORM_ADMIN else self._tenant(caller, body.tenant)
        key = api_keys.create()
        expires_at = self._clock.now() + timedelta(seconds=body.expires_in) if body.expires_in else None
        async with self._database.session(scope) as session:
            keys = KeyRepository(session)
            if not await keys.has_tenant():
                raise Conflict(f"Tenant {body.tenant} is being set up; try again in a moment.")
            if await keys.live() >= self._per_tenant:
                raise TooManyKeys(
                    f"body: there are {self._per_tenant} keys in force, the most that one tenant may have. Revoke those"
                    " that are not used with DELETE /api/v1/keys/{key_id}."
                )
            made = await keys.add(key, name=body.name, role=body.role, pepper=self._pepper, expires_at=expires_at)
            await AuditRepository(session).record(
                actor=caller.subject, action="key.create", target=key.id, role=body.role.value
            )
        return CreatedKey(key=key.text, **made.model_dump())

    async def page(self, caller: Caller, tenant: str | None, *, limit: int, after: str | None) -> list[KeyView]:
        """Keys of the tenant; of the platform for a platform admin who names none."""
        async with self._database.reading(self._scope(caller, tenant)) as session:
            return await KeyRepository(session).page(limit=limit, after=after)

    async def revoke(self, caller: Caller, tenant: str | None, key_id: str) -> None:
        """Stop a key."""
        async with self._database.session(self._scope(caller, tenant)) as session:
            if not await KeyRepository(session).revoke(key_id):
                raise NotFound(f"API key {key_id[:32]!r} not found. List yours with GET /api/v1/keys.")
            await AuditRepository(session).record(actor=caller.subject, action="key.revoke", target=key_id)

    def _scope(self, caller: Caller, tenant: str | None) -> UUID:
        if isinstance(caller, PlatformAdmin) and tenant is None:
            return PLATFORM_TENANT
        return self._tenant(caller, tenant)

    def _tenant(self, caller: Caller, tenant: str | None) -> UUID:
        if isinstance(caller, PlatformAdmin):
            if tenant is None:
                raise Invalid("body.tenant: a platform admin has to name the tenant that the key is for.")
            return self._catalog.tenant_id(tenant)
        if not caller.may(Role.OWNER):
            raise Forbidden(f"Keys are managed by the role owner; this credential has {caller.shown_roles}.")
        if tenant not in (None, caller.tenant):
            raise NotFound(f"Tenant {tenant!r} not found.")
        return caller.tenant_id
