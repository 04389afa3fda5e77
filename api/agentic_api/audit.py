"""Denied requests in the audit log: written by the side, at a bounded rate, so that denials cannot be used as load."""

from agentic_api.dependencies.principal import Principal
from agentic_core.db import Database
from agentic_core.db.audit import AuditRepository


class Audit:
    """Records what was refused. Changes are recorded by the services, in the transaction of the change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def denied(self, caller: Principal, what: str) -> None:
        """Note that the caller may not do `what`."""
        async with self._database.session(caller.tenant_id) as session:
            await AuditRepository(session).record(
                actor=caller.key_id, action="denied", target=what, role=caller.role.value
            )
