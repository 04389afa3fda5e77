"""Rows of runs, for tests of programs that read them without the api that writes them."""

from uuid import UUID, uuid4

import asyncpg

BEGIN = """
with tenant as (insert into tenants (tenant_id, name) values ($1::uuid, cast($1::uuid as text)) on conflict do nothing),
agent as (insert into agents (tenant_id, id, namespace, name) values ($1, $2, 'n', cast($2::uuid as text))),
conversation as (insert into conversations (tenant_id, id, agent_id) values ($1, $2, $2))
insert into runs (tenant_id, id, conversation_id, namespace, agent, revision, replica, lease_expires_at)
values ($1, $2, $2, 'n', 'helper', 'helper-1', $3, now() + interval '1 hour')
"""
CANCEL = "update runs set cancel_requested = true where tenant_id = $1 and id = $2"
END = "update runs set status = 'succeeded', finished_at = now() where tenant_id = $1 and id = $2"


async def insert_tenant(dsn: str) -> UUID:
    """A tenant that has its row."""
    tenant_id = uuid4()
    await execute(dsn, "insert into tenants (tenant_id, name) values ($1::uuid, cast($1::uuid as text))", tenant_id)
    return tenant_id


async def begin_run(dsn: str, tenant_id: UUID, run_id: UUID) -> None:
    """A run that goes on, with all that it hangs on."""
    await execute(dsn, BEGIN, tenant_id, run_id, uuid4())


async def execute(dsn: str, statement: str, tenant_id: UUID, *values: object) -> None:
    """Execute a statement for a tenant, which is its first parameter."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("select set_config('app.tenant_id', $1, true)", str(tenant_id))
            await connection.execute(statement, tenant_id, *values)
    finally:
        await connection.close()
