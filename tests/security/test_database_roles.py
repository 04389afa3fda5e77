"""What an intruder can do with a program's database role: no more than the golden file says, each thing tried."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from agentic_core.auth import api_keys
from agentic_core.db import PLATFORM_TENANT, Database, roles
from tests.api.harness import Api, World
from tests.api.runs import runtime as stand_in
from tests.api.runs import stage
from tests.core.db.rows import insert, rows
from tests.security import database_rights
from tests.security.database_rights import BY_COLUMN, FUNCTIONS, TABLES
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

Denied = asyncpg.InsufficientPrivilegeError


async def _connected(dsn: str) -> Any:
    return await asyncpg.connect(dsn)


@pytest.fixture
async def admin(postgres: PostgresDatabase) -> AsyncGenerator[Any]:
    """The superuser's connection."""
    connection = await _connected(postgres.admin)
    yield connection
    await connection.close()


async def test_the_rights_of_programs_are_those_of_the_golden_file(admin: Any) -> None:
    """After an intended change: python -m tests.security.database_rights."""
    assert await database_rights.rights(admin) == database_rights.GOLDEN.read_text().splitlines()


@pytest.mark.parametrize("role", roles.PROGRAMS)
async def test_what_is_not_granted_is_refused_when_it_is_tried(
    postgres: PostgresDatabase, admin: Any, role: str
) -> None:
    granted = {
        line.removeprefix(f"{role}: ") for line in database_rights.GOLDEN.read_text().splitlines() if role in line
    }
    tables = {line.partition(": ")[0]: line.partition(": ")[2] for line in granted}
    tried = 0
    connection = await _connected(postgres.api if role == roles.API else postgres.gateway)
    try:
        for table in await admin.fetch(TABLES):
            rights = tables.get(table["name"], "")
            for statement, allowed in _attempts(table, rights):
                assert await _denied(connection, statement) is not allowed, (role, statement)
                tried += 1
        for function in await admin.fetch(FUNCTIONS):
            arguments = ", ".join(f"null::{kind}" for kind in function["types"])
            refused = await _denied(connection, f"select {function['called']}({arguments})")
            assert refused is (function["name"] not in tables), (role, function["name"])
            tried += 1
    finally:
        await connection.close()
    assert tried > 300


def _attempts(table: asyncpg.Record, rights: str) -> list[tuple[str, bool]]:
    """Statements on a table, each with whether it is granted; EXPLAIN checks rights and does nothing."""
    name = table["name"]
    columns = {verb: _columns(rights, verb, table["columns"]) for verb in BY_COLUMN}
    made: list[tuple[str, bool]] = []
    for column in table["columns"]:
        made += [
            (f'explain select "{column}" from {name}', column in columns["select"]),  # noqa: S608
            (f'explain insert into {name} ("{column}") values (null)', column in columns["insert"]),  # noqa: S608
            (f'explain update {name} set "{column}" = null where false', column in columns["update"]),  # noqa: S608
        ]
    verbs = [right.strip().partition(" ")[0] for right in rights.split(", ")]
    return [
        *made,
        (f"explain delete from {name} where false", "delete" in verbs),  # noqa: S608
        (f"truncate {name}", False),
        (f"alter table {name} disable row level security", False),
        (f"drop table {name}", False),
    ]


def _columns(rights: str, verb: str, every: list[str]) -> list[str]:
    before, found, after = rights.partition(f"{verb} (")
    if found:
        return after.partition(")")[0].split(", ")
    return every if verb in [right.strip() for right in before.split(",")] else []


async def _denied(connection: Any, statement: str) -> bool:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except Denied as error:
        return "row-level security" not in str(error)
    except asyncpg.PostgresError:
        return False
    else:
        return False
    finally:
        await transaction.rollback()


async def test_the_gateway_reads_no_word_and_deletes_and_closes_nothing(
    postgres: PostgresDatabase, database: Database
) -> None:
    tenant = UUID(int=secrets.randbits(128))
    async with database.session(tenant) as session:
        await insert(session, rows(tenant))
    connection = await _connected(postgres.gateway)
    try:
        await connection.execute("select set_config('app.tenant_id', $1, false)", str(tenant))
        for table in ("messages", "conversations", "run_events", "tool_executions", "api_keys", "audit_log", "agents"):
            with pytest.raises(Denied):
                await connection.fetch(f"select * from {table}")  # noqa: S608
        for call in (
            "delete_tenant($1, 10)",
            "delete_tenant($1)",
            "mark_tenant_deleted($1)",
            "extend_leases($1::uuid, array[$1::uuid], 9)",
        ):
            with pytest.raises(Denied):
                await connection.fetch(f"select * from {call}", tenant)  # noqa: S608
        with pytest.raises(Denied):
            await connection.fetch("select find_api_key('x')")
        with pytest.raises(Denied):
            await connection.execute("update runs set cancel_requested = true")
        assert [dict(one) for one in await connection.fetch("select status, cancel_requested from runs")] == [
            {"status": "running", "cancel_requested": False}
        ]
    finally:
        await connection.close()


async def test_a_key_of_another_row_proves_nobody_whoever_copied_it(
    api: Api, world: World, postgres: PostgresDatabase, admin: Any
) -> None:
    """With all rights in the database, but without the pepper."""
    alpha, beta = await world.tenant(), await world.tenant()
    viewer, _ = await api.key(alpha, "viewer"), await api.key(beta)
    presented = api_keys.parse(viewer)
    assert presented is not None
    digest = await admin.fetchval("select digest from api_keys where id = $1", presented.id)
    plant = "insert into api_keys (tenant_id, id, name, role, digest, hash) values ($1, $2, 'x', $3, $4, $4)"
    targets = [
        (api.context.catalog.tenant_id(beta), "a" * 16, "owner"),
        (PLATFORM_TENANT, "b" * 16, "platform-admin"),
        (api.context.catalog.tenant_id(alpha), "c" * 16, "viewer"),
    ]
    for tenant_id, key_id, role in targets:
        await admin.execute(plant, tenant_id, key_id, role, digest)
        assert await _status(api, f"agk_{key_id}_{presented.secret}") == 401
    assert await _status(api, viewer) == 200
    for change in ("role = 'owner'", f"tenant_id = '{api.context.catalog.tenant_id(beta)}'", "digest = null"):
        await admin.execute(f"update api_keys set {change} where id = $1", presented.id)  # noqa: S608
        api.context.api_keys.forget(presented.id)
        assert await _status(api, viewer) == 401, change


async def _status(api: Api, key: str) -> int:
    async with api.client(key) as client:
        return (await client.get("/api/v1/agents")).status_code


async def test_a_notice_alone_ends_no_run(postgres: PostgresDatabase, database: Database) -> None:
    """Every role can send notices: they have an effect only if the database says the same."""
    tenant = await stage.tenant(database)
    async with stand_in.runtime() as runtime:
        runtime.scripts["hello"] = runtime.hang
        catalog = stage.catalog_of([tenant], endpoint=runtime.url)
        async with stage.serving(postgres.api, catalog) as served, served.client(tenant.key) as client:
            asked = asyncio.create_task(client.post("/api/v1/agents/helper/execute", json={"input": "hello"}))
            await runtime.began.wait()
            (run,) = (await client.get("/api/v1/runs")).json()["items"]
            gateway = await _connected(postgres.gateway)
            for text in (
                "",
                "cancel",
                "cancel x",
                f"cancel {run['id']}",
                f"follow {run['id']}",
                f"progress {run['id']}",
            ):
                await gateway.execute("select pg_notify('agentic_runs', $1)", text)
            await _notified(client)
            assert (await client.get(f"/api/v1/runs/{run['id']}")).json()["status"] == "running"
            mark = "update runs set cancel_requested = true where id = $1"
            admin = await _connected(postgres.admin)
            await admin.execute(mark, UUID(run["id"]))
            await gateway.execute("select pg_notify('agentic_runs', $1)", f"cancel {run['id']}")

            async def cancelled() -> bool:
                return bool((await client.get(f"/api/v1/runs/{run['id']}")).json()["status"] == "cancelled")

            await until(cancelled, what="the run to end once the row says so")
            await asked
            await gateway.close()
            await admin.close()


async def _notified(client: httpx2.AsyncClient) -> None:
    """Some round trips later, in which the notices have been received and looked up."""
    for _ in range(20):
        await client.get("/api/v1/runs")
