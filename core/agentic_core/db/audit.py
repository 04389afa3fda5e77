"""The audit log: who changed what; services record into the transaction of the change, so that both stand or fall."""

from typing import Any

import sqlalchemy as sa

from agentic_core.db import tables
from agentic_core.db.ids import uuid7
from agentic_core.db.repository import Repository


class AuditRepository(Repository):
    """Appends to and reads the tenant's audit log."""

    async def record(self, *, actor: str, action: str, target: str, **details: Any) -> None:
        """Note that `actor` (a key's id) did `action` (`conversation.delete`) to `target`. No prompts, no secrets."""
        await self.session.execute(
            sa.insert(tables.audit_log).values(
                tenant_id=self.tenant_id, id=uuid7(), actor=actor, action=action, target=target, details=details
            )
        )
