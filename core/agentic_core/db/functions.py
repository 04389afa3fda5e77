"""The few statements that span tenants, each a SECURITY DEFINER function of the owner.

Authentication, leases, retention and the deletion of tenants call them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from agentic_core.db.engine import ConnectionPurpose, Database


@dataclass(frozen=True)
class KeyRecord:
    """What is kept of an API key."""

    tenant_id: UUID
    tenant: str
    role: str
    digest: bytes = field(repr=False)
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class ExpiredRun:
    """A run whose replica no longer extends its lease."""

    tenant_id: UUID
    run_id: UUID


@dataclass(frozen=True)
class ExtendedLease:
    """A run whose lease was extended."""

    run_id: UUID
    cancel_requested: bool


@dataclass(frozen=True)
class Deletion:
    """What a batch of a tenant's deletion did."""

    deleted: int
    """Rows that it deleted. 0 when another process is deleting rows of this tenant, or transactions hold the rest."""
    done: bool
    """Whether no row is left, and none can be added."""


_FIND_KEY = text("select * from find_api_key(:key_id)")
_EXPIRED = text("select * from expired_runs(:limit)")
_EXTEND = text("select * from extend_leases(:replica, cast(:run_ids as uuid[]), :seconds)")
_EXPIRE = text("select expire_events(:before, :limit)")
_MARK_DELETED = text("select mark_tenant_deleted(:tenant_id)")
_DELETE = text("select deleted, done from delete_tenant(:tenant_id, :max_rows)")


async def find_api_key(database: Database, key_id: str) -> KeyRecord | None:
    """The key with this id, of whatever tenant; None also when the tenant is marked as deleted.

    The caller compares the digest and looks at the times.
    """
    async with database.platform(ConnectionPurpose.AUTHENTICATION) as connection:
        row = (await connection.execute(_FIND_KEY, {"key_id": key_id})).one_or_none()
    if row is None:
        return None
    return KeyRecord(
        tenant_id=row.tenant_id,
        tenant=row.tenant,
        role=row.role,
        digest=row.digest,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


async def expired_runs(database: Database, *, limit: int) -> list[ExpiredRun]:
    """Runs of all tenants whose lease has run out, the oldest first."""
    async with database.platform() as connection:
        rows = (await connection.execute(_EXPIRED, {"limit": limit})).all()
    return [ExpiredRun(row.tenant_id, row.run_id) for row in rows]


async def extend_leases(
    database: Database, replica: UUID, run_ids: Sequence[UUID], *, seconds: float
) -> list[ExtendedLease]:
    """Extend the leases that this replica still holds; a run that is missing from the result was closed by another."""
    values = {"replica": replica, "run_ids": list(run_ids), "seconds": seconds}
    async with database.platform(ConnectionPurpose.LEASES) as connection:
        rows = (await connection.execute(_EXTEND, values)).all()
    return [ExtendedLease(row.run_id, row.cancel_requested) for row in rows]


async def expire_events(database: Database, *, before: datetime, limit: int) -> int:
    """Delete events of runs that ended before a time, of all tenants; their idempotency keys become free.

    Returns the number of events; 0 also while another process deletes some.
    """
    async with database.platform() as connection:
        deleted: int = (await connection.execute(_EXPIRE, {"before": before, "limit": limit})).scalar_one()
    return deleted


async def mark_tenant_deleted(database: Database, tenant_id: UUID) -> None:
    """Let the rows of a tenant be deleted, and end its keys. It can be repeated, and not be undone."""
    async with database.platform() as connection:
        await connection.execute(_MARK_DELETED, {"tenant_id": tenant_id})


async def delete_tenant(database: Database, tenant_id: UUID, *, max_rows: int) -> Deletion:
    """Delete a batch of a tenant's rows, its ledger and audit log included; to be called until it is done.

    The database refuses it for a tenant that no earlier transaction has marked as deleted.

    Each call is a short transaction. It can be interrupted and called by several processes at once: none waits for
    locks of another.
    """
    async with database.platform() as connection:
        row = (await connection.execute(_DELETE, {"tenant_id": tenant_id, "max_rows": max_rows})).one()
    return Deletion(row.deleted, row.done)
