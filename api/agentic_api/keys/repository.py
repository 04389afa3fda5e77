"""SQL of API keys, inside one tenant's transaction."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from agentic_api.keys.schemas import KeyView
from agentic_core.auth import api_keys
from agentic_core.db import Repository, tables

KEYS = tables.api_keys
COUNTING = 0x6B657973
"""Class of the advisory locks under which the keys of a tenant are counted."""


class KeyRepository(Repository):
    """The tenant's keys."""

    async def has_tenant(self) -> bool:
        """Whether the tenant has its row already."""
        found = await self.session.execute(self.select(tables.tenants, tables.tenants.c.tenant_id))
        return found.first() is not None

    async def live(self) -> int:
        """How many keys are in force. No other transaction counts until this one ends: two do not both add the last."""
        await self.session.execute(sa.text("select pg_advisory_xact_lock(:what, hashtext(:tenant))"), self._lock())
        in_force = KEYS.c.revoked_at.is_(None) & sa.or_(KEYS.c.expires_at.is_(None), KEYS.c.expires_at > sa.func.now())
        counted = self.select(KEYS, sa.func.count()).where(in_force)
        count: int = (await self.session.execute(counted)).scalar_one()
        return count

    def _lock(self) -> dict[str, Any]:
        return {"what": COUNTING, "tenant": str(self.tenant_id)}

    async def add(
        self, key: api_keys.NewKey, *, name: str, role: api_keys.Role, pepper: bytes, expires_at: datetime | None
    ) -> KeyView:
        """Keep a new key by its digest."""
        values = self._values(key, name, role, pepper) | {"expires_at": expires_at}
        row = (await self.session.execute(insert(KEYS).values(**values).returning(*VIEW))).mappings().one()
        return _view(row)

    async def keep(self, key: api_keys.NewKey, *, name: str, role: api_keys.Role, pepper: bytes) -> None:
        """Keep a key that may be there already, such as that of an installation. Only the migrator has the right."""
        values = self._values(key, name, role, pepper)
        changed = {name: values[name] for name in ("role", "digest")}
        statement = insert(KEYS).values(**values)
        await self.session.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=changed))

    def _values(self, key: api_keys.NewKey, name: str, role: api_keys.Role, pepper: bytes) -> dict[str, Any]:
        digest = api_keys.digest(key, tenant_id=self.tenant_id, role=role.value, pepper=pepper)
        return {"tenant_id": self.tenant_id, "id": key.id, "name": name, "role": role.value, "digest": digest}

    async def page(self, *, limit: int, after: str | None) -> list[KeyView]:
        """Keys by id."""
        statement = self.select(KEYS, *VIEW).order_by(KEYS.c.id).limit(limit)
        if after:
            statement = statement.where(KEYS.c.id > after)
        return [_view(row) for row in (await self.session.execute(statement)).mappings()]

    async def revoke(self, key_id: str) -> bool:
        """Stop a key; False when there is none of this id. A revoked one keeps the time of its first revocation."""
        revoked_at = sa.func.coalesce(KEYS.c.revoked_at, sa.func.now())
        mine = (KEYS.c.tenant_id == self.tenant_id) & (KEYS.c.id == key_id)
        statement = sa.update(KEYS).where(mine).values(revoked_at=revoked_at).returning(KEYS.c.id)
        return (await self.session.execute(statement)).first() is not None


VIEW = (KEYS.c.id, KEYS.c.name, KEYS.c.role, KEYS.c.created_at, KEYS.c.expires_at, KEYS.c.revoked_at)


def _view(row: sa.RowMapping) -> KeyView:
    return KeyView(prefix=f"agk_{row['id']}", **row)
