"""No list reads more than about what it shows, whatever is filtered by and however many rows the tenant has stored."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from agentic_api.conversations.repository import ConversationRepository
from agentic_api.keys.repository import KeyRepository
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.db import Database, Session
from tests.support.postgres import Postgres, PostgresDatabase

ROWS = 100_000
LIMIT = 50
MAX_READ = 4 * LIMIT
"""Rows that any step of a plan may touch."""
TENANT = UUID(int=1)
OPENAPI = Path(__file__).parents[2] / "docs/reference/openapi.json"
FILL = f"""
set session_replication_role = replica;
insert into tenants (tenant_id, name) values ('{TENANT}', 'large');
insert into agents (tenant_id, id, namespace, name)
select '{TENANT}', lpad(n::text, 32, '0')::uuid, 'n', 'agent' || n from generate_series(0, 1) n;
insert into conversations (tenant_id, id, agent_id)
select '{TENANT}', lpad(n::text, 32, '0')::uuid, lpad(case when n < 10 then '1' else '0' end, 32, '0')::uuid
from generate_series(0, {ROWS}) n;
insert into runs (tenant_id, id, conversation_id, namespace, agent, revision, replica, status, finished_at)
select '{TENANT}', lpad(n::text, 32, '0')::uuid, lpad((10 + n % 10)::text, 32, '0')::uuid, 'n', 'agent' || n % 2, 'r',
    '{TENANT}', case when n % 2 = 0 then 'succeeded' else 'failed' end, now()
from generate_series(1, {ROWS}) n;
insert into messages (tenant_id, conversation_id, position, run_id, role, content)
select '{TENANT}', lpad('10', 32, '0')::uuid, n, lpad((1 + n / 2)::text, 32, '0')::uuid, 'user', 'hello'
from generate_series(0, {ROWS}) n;
insert into tool_executions (tenant_id, run_id, position, call_id, name)
select '{TENANT}', lpad((1 + n / 1000)::text, 32, '0')::uuid, n, 'c', 't' from generate_series(0, {ROWS}) n;
insert into usage (tenant_id, id, run_id, provider, model, status)
select '{TENANT}', gen_random_uuid(), lpad(n::text, 32, '0')::uuid, 'p', 'm', 'completed'
from generate_series(1, {ROWS}) n;
insert into api_keys (tenant_id, id, name, role, digest, revoked_at)
select '{TENANT}', 'key' || n, 'k', 'viewer', 'd', case when n > 100 then now() end from generate_series(1, {ROWS}) n;
set session_replication_role = origin;
analyze;
"""  # noqa: S608 - numbers of this test
Read = Callable[[Session], Awaitable[Any]]


async def _filled(server: Postgres) -> PostgresDatabase:
    fresh = await server.fresh()
    connection = await asyncpg.connect(fresh.admin)
    await connection.execute(FILL)
    await connection.close()
    return fresh


@pytest.fixture(scope="module")
def filled(postgres_server: Postgres) -> Generator[PostgresDatabase]:
    """A tenant with so many rows of each sort."""
    made = asyncio.run(_filled(postgres_server))
    yield made
    asyncio.run(postgres_server.drop(made))


@pytest.fixture
async def large(filled: PostgresDatabase) -> AsyncGenerator[Database]:
    """The database with this tenant, as the api opens it."""
    database = Database(filled.api)
    yield database
    await database.close()


def _id(number: int) -> UUID:
    return UUID(f"{number:032d}")


def _runs(before: UUID | None, agent: str | None, status: str | None, conversation: UUID | None) -> Read:
    namespace = "n" if agent else None
    return lambda session: RunRepository(session).page(
        limit=LIMIT, before=before, namespace=namespace, agent=agent, status=status, conversation_id=conversation
    )


def _conversations(before: UUID | None, agent: str | None) -> Read:
    namespace = "n" if agent else None
    return lambda session: ConversationRepository(session).page(
        limit=LIMIT, before=before, namespace=namespace, agent=agent
    )


BEFORE = (None, _id(ROWS // 2))
READS: dict[str, list[Read]] = {
    "/api/v1/runs": [
        _runs(*values)
        for values in itertools.product(
            BEFORE,
            (None, "agent0", "agent1", "none"),
            (None,),  # not by status: see ADR 32
            (None, _id(10), _id(3)),
        )
    ],
    "/api/v1/runs/{run_id}/messages": [
        lambda session: RunRepository(session).messages(_id(1), after=-1, limit=LIMIT),
        lambda session: RunRepository(session).messages(_id(ROWS), after=-1, limit=LIMIT),
    ],
    "/api/v1/runs/{run_id}/tool_calls": [
        lambda session: RunRepository(session).tool_calls(_id(1), after=-1, limit=LIMIT),
        lambda session: RunRepository(session).tool_calls(_id(9), after=8500, limit=LIMIT),
    ],
    "/api/v1/conversations": [
        _conversations(*values) for values in itertools.product(BEFORE, (None, "agent0", "agent1"))
    ],
    "/api/v1/conversations/{conversation_id}": [
        lambda session: ConversationRepository(session).messages(_id(10), after=-1, limit=LIMIT),
        lambda session: ConversationRepository(session).messages(_id(10), after=ROWS // 2, limit=LIMIT),
    ],
    "/api/v1/keys": [
        lambda session: KeyRepository(session).page(limit=LIMIT, after=None),
        lambda session: KeyRepository(session).page(limit=LIMIT, after="key5"),
        lambda session: KeyRepository(session).live(),
    ],
}
FILTERS = {
    "/api/v1/agents": set[str](),
    "/api/v1/runs": {"agent", "status", "conversation_id"},
    "/api/v1/runs/{run_id}/messages": set[str](),
    "/api/v1/runs/{run_id}/tool_calls": set[str](),
    "/api/v1/conversations": {"agent"},
    "/api/v1/conversations/{conversation_id}": set[str](),
    "/api/v1/keys": {"tenant"},
}


def test_every_list_and_every_filter_of_the_api_is_tried() -> None:
    """Agents are listed from memory. A new filter needs an index, and its values in the reads above."""
    found = {}
    for path, methods in json.loads(OPENAPI.read_text())["paths"].items():
        parameters = {item["name"] for item in methods.get("get", {}).get("parameters", []) if item["in"] == "query"}
        if "cursor" in parameters:
            found[path] = parameters - {"cursor", "limit"}
    assert found == FILTERS
    assert READS.keys() == FILTERS.keys() - {"/api/v1/agents"}


@pytest.mark.parametrize("path", READS)
async def test_a_page_reads_about_what_it_shows(large: Database, path: str) -> None:
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        statements.append((statement, parameters))

    event.listen(large.engine.sync_engine, "before_cursor_execute", note)
    try:
        for read in READS[path]:
            async with large.reading(TENANT) as session:
                await read(session)
    finally:
        event.remove(large.engine.sync_engine, "before_cursor_execute", note)
    looked = 0
    async with large.session(TENANT) as session:
        connection = await session.connection()
        for statement, parameters in statements:
            if statement.lstrip().lower().startswith("select") and " from " in statement.lower().replace("\n", " "):
                explained = await connection.exec_driver_sql(f"explain (analyze, format json) {statement}", parameters)
                _check(explained.scalar_one()[0]["Plan"], statement)
                looked += 1
    assert looked >= len(READS[path])


def _check(node: dict[str, Any], statement: str) -> None:
    """Each step of the plan, once for each time that it was carried out."""
    read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    assert read <= MAX_READ, (node, statement)
    if node["Node Type"] == "Seq Scan":
        assert node["Relation Name"] in {"agents", "tenants"}, (node, statement)
    for child in node.get("Plans", ()):
        _check(child, statement)


async def test_the_check_fails_where_an_index_is_missing(large: Database) -> None:
    async with large.session(TENANT) as session:
        connection = await session.connection()
        query = sa.text("explain (analyze, format json) select id from runs where revision = 'x' order by id limit 5")
        plan = (await connection.execute(query)).scalar_one()[0]["Plan"]
    with pytest.raises(AssertionError):
        _check(plan, str(query))
