"""One row in each table for a tenant, in the order that foreign keys ask for."""

from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from agentic_core.db import Database, Session, functions, tables, uuid7

Rows = dict[sa.Table, dict[str, Any]]


def rows(tenant_id: UUID) -> Rows:
    """A row for each table."""
    agent, conversation, run = uuid4(), uuid7(), uuid7()
    mine: dict[str, Any] = {"tenant_id": tenant_id}
    executed = {"run_id": run, "position": 0, "call_id": "c", "name": "calculator"}
    spent = {"id": uuid7(), "run_id": run, "provider": "local", "model": "echo", "status": "completed"}
    return {
        tables.tenants: mine | {"name": f"t-{tenant_id}"},
        tables.agents: mine | {"id": agent, "namespace": "n", "name": "helper"},
        tables.conversations: mine | {"id": conversation, "agent_id": agent},
        tables.messages: mine
        | {"conversation_id": conversation, "position": 0, "run_id": run, "role": "user", "content": "hello"},
        tables.runs: mine
        | {"id": run, "conversation_id": conversation, "namespace": "n", "agent": "helper", "revision": "helper-1"}
        | {"replica": uuid4(), "lease_expires_at": sa.func.now() + sa.text("interval '1 minute'")},
        tables.run_events: mine | {"run_id": run, "seq": 1, "type": "final"},
        tables.tool_executions: mine | executed,
        tables.api_keys: mine | {"id": f"key{run.hex[-13:]}", "name": "k", "role": "viewer", "digest": b"h"},
        tables.usage: mine | spent,
        tables.run_tokens: mine | {"run_id": run, "tokens": 0},
        tables.usage_dead_letters: mine | {"id": uuid7(), "row": {}, "error": "out of range"},
        tables.audit_log: mine | {"id": uuid7(), "actor": "k", "action": "a", "target": "t"},
    }


async def delete_tenant(database: Database, tenant_id: UUID, *, max_rows: int) -> functions.Deletion:
    """Delete a batch of a tenant's rows, as when its Tenant is deleted."""
    await functions.mark_tenant_deleted(database, tenant_id)
    return await functions.delete_tenant(database, tenant_id, max_rows=max_rows)


async def insert(session: Session, wanted: Rows) -> None:
    """Insert the rows."""
    for table, values in wanted.items():
        await session.execute(sa.insert(table).values(**values))
