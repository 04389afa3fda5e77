"""Denied requests in the audit log; `app` calls it for every request that the caller's role does not allow.

Changes are recorded by the services, in the transaction of the change.
"""

from agentic_api.dependencies.principal import Caller, Principal
from agentic_core import telemetry
from agentic_core.db import PLATFORM_TENANT, Database
from agentic_core.db.audit import AuditRepository

log = telemetry.logger(__name__)


class Audit:
    """Records what was refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def denied(self, caller: Caller, what: str, *, code: str) -> None:
        """Note that the caller may not do `what`. The request is refused also when this cannot be written."""
        tenant = caller.tenant_id if isinstance(caller, Principal) else PLATFORM_TENANT
        try:
            async with self._database.session(tenant) as session:
                await AuditRepository(session).record(actor=caller.key_id, action="denied", target=what, code=code)
        except Exception:
            log.exception("denied request not in the audit log", actor=caller.key_id, target=what)
