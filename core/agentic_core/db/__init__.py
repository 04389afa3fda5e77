"""PostgreSQL: the engine, tenant-scoped sessions, the tables and the repository base; the api and the gateway use it.

database = Database(dsn)
async with database.session(tenant_id) as session:      # one transaction, committed at the end of the block
    await SomeRepository(session).insert(...)
"""

from agentic_core.db.direct import Transaction
from agentic_core.db.engine import PLATFORM_TENANT, ConnectionPurpose, Database, Session
from agentic_core.db.ids import uuid7
from agentic_core.db.repository import Repository

__all__ = ["PLATFORM_TENANT", "ConnectionPurpose", "Database", "Repository", "Session", "Transaction", "uuid7"]
