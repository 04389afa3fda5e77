"""The few questions that span tenants, each a SECURITY DEFINER function of the owner; authentication and leases ask."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from agentic_core.db.engine import Database


@dataclass(frozen=True)
class KeyRecord:
    """What is kept of an API key."""

    tenant_id: UUID
    tenant: str
    role: str
    hash: bytes = field(repr=False)
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class ExpiredRun:
    """A run whose replica no longer extends its lease."""

    tenant_id: UUID
    run_id: UUID


@dataclass(frozen=True)
class Held:
    """A run whose lease was extended."""

    run_id: UUID
    cancel_requested: bool


_AUTHENTICATE = text("select * from authenticate_key(:key_id)")
_EXPIRED = text("select * from expired_runs(:most)")
_EXTEND = text("select * from extend_leases(:replica, cast(:run_ids as uuid[]), :seconds)")
_EXPIRE = text("select expire_events(:before, :most)")
_DELETE = text("select delete_tenant(:tenant_id)")


async def authenticate_key(database: Database, key_id: str) -> KeyRecord | None:
    """The key with this id, of whatever tenant. The caller compares the hash and looks at the times."""
    async with database.platform() as connection:
        row = (await connection.execute(_AUTHENTICATE, {"key_id": key_id})).one_or_none()
    if row is None:
        return None
    return KeyRecord(
        tenant_id=row.tenant_id,
        tenant=row.tenant,
        role=row.role,
        hash=row.hash,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


async def expired_runs(database: Database, *, limit: int) -> list[ExpiredRun]:
    """Runs of all tenants whose lease has run out, the oldest first."""
    async with database.platform() as connection:
        rows = (await connection.execute(_EXPIRED, {"most": limit})).all()
    return [ExpiredRun(row.tenant_id, row.run_id) for row in rows]


async def extend_leases(database: Database, replica: UUID, run_ids: Sequence[UUID], *, seconds: float) -> list[Held]:
    """Extend the leases that this replica still holds; a run that is missing from the answer was closed by another."""
    values = {"replica": replica, "run_ids": list(run_ids), "seconds": seconds}
    async with database.platform() as connection:
        rows = (await connection.execute(_EXTEND, values)).all()
    return [Held(row.run_id, row.cancel_requested) for row in rows]


async def expire_events(database: Database, *, before: datetime, limit: int) -> int:
    """Delete events of runs that ended before a time, of all tenants; answers with how many, 0 when others do it now.

    The idempotency keys of these runs become free.
    """
    async with database.platform() as connection:
        deleted: int = (await connection.execute(_EXPIRE, {"before": before, "most": limit})).scalar_one()
    return deleted


async def delete_tenant(database: Database, tenant_id: UUID) -> None:
    """Delete every row of a tenant, its ledger and audit log included."""
    async with database.platform() as connection:
        await connection.execute(_DELETE, {"tenant_id": tenant_id})
