"""The audit log: who changed what; services record into the transaction of the change, so that both stand or fall."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from agentic_core.db import tables
from agentic_core.db.ids import uuid7
from agentic_core.db.repository import Repository


class AuditRepository(Repository):
    """Appends to and reads the tenant's audit log."""

    async def record(self, *, actor: str, action: str, target: str, **details: Any) -> UUID:
        """Note that `actor` (a key's id) did `action` (`conversation.delete`) to `target`. No prompts, no secrets."""
        note = uuid7()
        await self.session.execute(
            sa.insert(tables.audit_log).values(
                tenant_id=self.tenant_id, id=note, actor=actor, action=action, target=target, details=details
            )
        )
        return note
