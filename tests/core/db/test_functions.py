"""The functions that span tenants answer their one question, to the app alone, and nothing beyond it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import sqlalchemy as sa

from agentic_core.db import Database, functions, tables, uuid7
from tests.core.db.rows import Rows, insert, rows
from tests.support.postgres import PostgresDatabase

DEFINERS = """
select proname, proconfig, pg_get_userbyid(proowner) as owner, proacl::text as acl from pg_proc
where prosecdef and pronamespace = 'public'::regnamespace order by 1
"""
FOR_EVERYONE = """
select proname from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as granted
where pronamespace = 'public'::regnamespace and granted.grantee = 0
"""


async def stored(database: Database, *, expired: bool = False) -> Rows:
    tenant = uuid4()
    values = rows(tenant)
    if expired:
        values[tables.runs]["lease_expires_at"] = sa.func.now() - sa.text("interval '1 second'")
    async with database.session(tenant) as session:
        await insert(session, values)
    return values


async def counts(database: Database, tenant: UUID) -> dict[str, int]:
    async with database.session(tenant) as session:
        query = sa.select(sa.func.count()).select_from
        return {
            name: (await session.execute(query(table))).scalar_one() for name, table in tables.metadata.tables.items()
        }


async def test_functions_of_the_owner_are_pinned_and_not_for_the_gateway(postgres: PostgresDatabase) -> None:
    connection = await asyncpg.connect(postgres.admin)
    found = await connection.fetch(DEFINERS)
    await connection.close()
    assert [item["proname"] for item in found] == [
        "authenticate_key", "delete_tenant", "delete_tenant", "expire_events", "expired_runs", "extend_leases",
        "find_api_key", "mark_tenant_deleted",
    ]  # fmt: skip
    for item in found:
        assert item["owner"] == "agentic_owner"
        plans = [setting for setting in item["proconfig"] if setting.startswith("enable_")]
        assert [setting for setting in item["proconfig"] if setting not in plans] == ["search_path=pg_catalog, pg_temp"]
        assert set(item["acl"].strip("{}").split(",")) <= {
            f"{role}=X/agentic_owner" for role in ("agentic_owner", "agentic_app", "agentic_api")
        }


async def test_no_function_is_for_everyone(postgres: PostgresDatabase) -> None:
    connection = await asyncpg.connect(postgres.admin)
    found = await connection.fetch(FOR_EVERYONE)
    await connection.close()
    assert found == []


async def test_a_key_is_found_by_its_id_alone(database: Database) -> None:
    mine = await stored(database)
    await stored(database)
    found = await functions.find_api_key(database, mine[tables.api_keys]["id"])
    assert found is not None
    assert (found.tenant_id, found.tenant) == (mine[tables.tenants]["tenant_id"], mine[tables.tenants]["name"])
    assert (found.role, found.digest, found.revoked_at) == ("viewer", b"h", None)
    assert await functions.find_api_key(database, "unknown") is None
    assert await functions.find_api_key(database, "%") is None
    await functions.mark_tenant_deleted(database, mine[tables.tenants]["tenant_id"])
    assert await functions.find_api_key(database, mine[tables.api_keys]["id"]) is None


async def test_expired_runs_of_all_tenants_are_found_and_no_others(database: Database) -> None:
    await stored(database)
    late = [await stored(database, expired=True) for _ in range(3)]
    found = await functions.expired_runs(database, limit=100)
    assert {(item.tenant_id, item.run_id) for item in found} == {
        (item[tables.runs]["tenant_id"], item[tables.runs]["id"]) for item in late
    }
    assert len(await functions.expired_runs(database, limit=2)) == 2


async def test_a_replica_extends_its_own_leases_only(database: Database) -> None:
    mine, other = await stored(database, expired=True), await stored(database, expired=True)
    replica = mine[tables.runs]["replica"]
    ids = [mine[tables.runs]["id"], other[tables.runs]["id"]]
    held = await functions.extend_leases(database, replica, ids, seconds=30)
    assert [(item.run_id, item.cancel_requested) for item in held] == [(ids[0], False)]
    assert [item.run_id for item in await functions.expired_runs(database, limit=9)] == [ids[1]]


async def test_a_lease_is_extended_by_a_minute_at_most(database: Database) -> None:
    mine = await stored(database)
    run = mine[tables.runs]
    await functions.extend_leases(database, run["replica"], [run["id"]], seconds=1e6)
    async with database.session(run["tenant_id"]) as session:
        left = sa.select(tables.runs.c.lease_expires_at - sa.func.now())
        assert (await session.execute(left)).scalar_one().total_seconds() <= 60


async def ended(database: Database, *, days: float, events: int, **fields: Any) -> tuple[UUID, UUID]:
    """Tenant and id of a run that ended some days ago."""
    tenant, at = uuid4(), datetime.now(UTC) - timedelta(days=days)
    run = UUID(int=int(at.timestamp() * 1000) << 80 | uuid7().int & (1 << 80) - 1)
    values = rows(tenant)
    values[tables.runs] |= {"id": run, "status": "succeeded", "finished_at": at} | fields
    values[tables.run_events] |= {"run_id": run, "seq": 1}
    values[tables.tool_executions]["run_id"] = values[tables.run_tokens]["run_id"] = run
    async with database.session(tenant) as session:
        await insert(session, values)
        more = [{**values[tables.run_events], "seq": seq} for seq in range(2, events + 1)]
        if more:
            await session.execute(sa.insert(tables.run_events).values(more))
    return tenant, run


async def test_old_events_of_all_tenants_are_deleted_in_pieces_and_nothing_else(database: Database) -> None:
    old = [await ended(database, days=8, events=5, idempotency_key="k", fingerprint=b"f") for _ in range(3)]
    young, _ = await ended(database, days=6, events=5, idempotency_key="k")
    running, _ = await ended(database, days=30, events=5, status="running", finished_at=None)
    before = datetime.now(UTC) - timedelta(days=7)
    deleted = [await functions.expire_events(database, before=before, limit=4) for _ in range(5)]
    assert deleted == [4, 4, 4, 3, 0]
    for tenant, _ in old:
        left = await counts(database, tenant)
        assert {name for name, count in left.items() if not count} == {"run_events", "run_tokens"}
        async with database.session(tenant) as session:
            keys = sa.select(tables.runs.c.idempotency_key, tables.runs.c.fingerprint)
            assert (await session.execute(keys)).one() == (None, None)
    for tenant in (young, running):
        left = await counts(database, tenant)
        assert (left.pop("run_events"), set(left.values())) == (5, {1})


async def test_events_of_a_run_that_has_just_ended_stay_whatever_is_asked(database: Database) -> None:
    await ended(database, days=0.03, events=2)
    assert await functions.expire_events(database, before=datetime.now(UTC) + timedelta(days=1), limit=9) == 0


async def test_one_process_at_a_time_deletes_events(database: Database) -> None:
    await ended(database, days=8, events=2)
    before = datetime.now(UTC)
    async with database.platform() as connection:
        first = await connection.execute(sa.text("select expire_events(:before, 1)"), {"before": before})
        assert first.scalar_one() == 1
        assert await functions.expire_events(database, before=before, limit=9) == 0
    assert await functions.expire_events(database, before=before, limit=9) == 1
