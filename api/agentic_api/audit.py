"""Audit records that cannot be part of a change's transaction: denied requests, and changes outside the database.

`app` records every request that the caller's role does not allow, the resource writer its writes to the API server. All
other changes are recorded by the services, in the transaction of the change.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from agentic_api.identity.principal import Caller, Principal
from agentic_core import telemetry
from agentic_core.db import PLATFORM_TENANT, Database, faults
from agentic_core.db.audit import AuditRepository
from agentic_core.errors import PlatformError, Timeout, Unavailable

PATIENCE_SECONDS = 2.0
"""How long the response to a change that was made waits for a database that is unavailable."""
log = telemetry.logger(__name__)


class Audit:
    """Records denied requests, and changes before and after they are made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def denied(self, caller: Caller, what: str, *, code: str) -> None:
        """Record that the caller may not do `what`. The request is denied also when this cannot be written."""
        try:
            await self._record(caller, "denied", target=what, code=code)
        except Exception:
            log.exception("denied request not in the audit log", actor=caller.subject, target=what)

    @asynccontextmanager
    async def intended(self, caller: Principal, action: str, *, target: str) -> AsyncGenerator[dict[str, Any]]:
        """Record what the caller is about to change in the block, and afterwards the outcome; yields details of it.

        When the first record cannot be written, nothing is changed and it raises `Unavailable`. A record
        `intended` without an outcome is of a process that ended in between.
        """
        try:
            intent = await self._record(caller, action, target=target, outcome="intended")
        except Exception as error:
            log.warning("intention not in the audit log", actor=caller.subject, target=target, error=repr(error))
            raise _unnoted() from error
        details: dict[str, Any] = {}
        try:
            yield details
        except (Exception, asyncio.CancelledError) as error:  # the request's time may be over
            await self._ended(caller, action, target=target, intent=str(intent), **_failure(error))
            raise
        await self._ended(caller, action, target=target, intent=str(intent), outcome="done", **details)

    async def _ended(self, caller: Principal, action: str, *, target: str, **details: Any) -> None:
        try:
            await faults.retry_while_unavailable(
                lambda: self._record(caller, action, target=target, **details), seconds=PATIENCE_SECONDS
            )
        except Exception:
            log.exception("outcome not in the audit log", actor=caller.subject, action=action, target=target, **details)

    async def _record(self, caller: Caller, action: str, *, target: str, **details: Any) -> UUID:
        tenant = caller.tenant_id if isinstance(caller, Principal) else PLATFORM_TENANT
        async with self._database.session(tenant) as session:
            return await AuditRepository(session).record(actor=caller.subject, action=action, target=target, **details)


def _failure(error: BaseException) -> dict[str, str]:
    """How a change failed. Without a response, or without one in time, it may have been made."""
    if isinstance(error, asyncio.CancelledError):
        return {"outcome": "unknown", "code": Timeout.code}
    refused = isinstance(error, PlatformError) and not isinstance(error, Unavailable)
    return {"outcome": "refused" if refused else "unknown", "code": getattr(error, "code", "internal")}


def _unnoted() -> Unavailable:
    error = Unavailable("The audit log is unavailable, so the change was not made; try again in a moment.")
    error.headers["Retry-After"] = "1"
    return error
