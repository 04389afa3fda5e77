"""No write of an agent without a row in the audit log, whenever the database fails or the process ends."""

import asyncio

import asyncpg
import httpx2
import pytest
import sqlalchemy as sa

from agentic_api.audit import Audit
from agentic_core.auth.api_keys import Role
from agentic_core.cluster.kinds import custom
from agentic_core.db import Database
from agentic_core.db import tables as t
from agentic_core.errors import NotFound
from agentic_crds import Agent
from tests.api.harness import Api, World
from tests.api.principals import principal
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase
from tests.support.runs import insert_tenant

BODY = {"name": "a", "model": "m"}
NO_OUTCOMES = """
create function refuse() returns trigger language plpgsql as 'begin raise exception ''full''; end';
create trigger refuse before insert on audit_log for each row
when (new.details ->> 'outcome' <> 'intended') execute function refuse()
"""


async def administer(postgres: PostgresDatabase, statement: str) -> None:
    connection = await asyncpg.connect(postgres.admin)
    await connection.execute(statement)
    await connection.close()


async def notes(api: Api, tenant: str) -> list[tuple[str, str, str | None]]:
    """Action, outcome and code of what was done to agents."""
    async with api.context.database.session(api.context.catalog.tenant_id(tenant)) as session:
        rows = await session.execute(sa.select(t.audit_log).order_by(t.audit_log.c.id))
        return [
            (row.action, row.details["outcome"], row.details.get("code"))
            for row in rows
            if row.action.startswith("agent.")
        ]


@requirement("audit")
async def test_a_write_is_noted_before_and_after(api: Api, client: httpx2.AsyncClient, tenant: str) -> None:
    assert (await client.post("/api/v1/agents", json=BODY)).status_code == 201
    assert (await client.patch("/api/v1/agents/a", json={"description": "b"})).status_code == 200
    assert (await client.post("/api/v1/agents", json=BODY)).status_code == 409
    assert (await client.delete("/api/v1/agents/a")).status_code == 204
    assert (await client.delete("/api/v1/agents/a")).status_code == 404
    assert await notes(api, tenant) == [
        ("agent.create", "intended", None),
        ("agent.create", "done", None),
        ("agent.update", "intended", None),
        ("agent.update", "done", None),
        ("agent.create", "intended", None),
        ("agent.create", "refused", "already_exists"),
        ("agent.delete", "intended", None),
        ("agent.delete", "done", None),
    ]


async def test_an_outcome_names_its_intention_and_what_came_of_it(
    api: Api, client: httpx2.AsyncClient, tenant: str
) -> None:
    await client.post("/api/v1/agents", json=BODY)
    async with api.context.database.session(api.context.catalog.tenant_id(tenant)) as session:
        rows = (await session.execute(sa.select(t.audit_log).order_by(t.audit_log.c.id.desc()).limit(2))).all()
    assert rows[0].details == {"outcome": "done", "intent": str(rows[1].id), "generation": 1}
    assert {row.target for row in rows} == {f"{tenant}-default.a"}


@requirement("audit")
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
async def test_what_cannot_be_noted_is_not_done(
    api: Api, client: httpx2.AsyncClient, world: World, tenant: str, postgres: PostgresDatabase, method: str
) -> None:
    path, body = "/api/v1/agents/a", {"model": "other"}
    if method == "post":
        path, body = "/api/v1/agents", BODY
    else:
        await client.post("/api/v1/agents", json=BODY)
    ref = custom(Agent).ref("a", f"{tenant}-default")
    before = await world.cluster.get(ref)
    await administer(postgres, "revoke insert on audit_log from agentic_api")
    answer = await client.request(method.upper(), path, json=body if method != "delete" else None)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "audit log" in answer.json()["detail"]
    assert await world.cluster.get(ref) == before


async def test_a_write_whose_outcome_cannot_be_noted_is_answered_and_its_intention_stays(
    api: Api, client: httpx2.AsyncClient, tenant: str, postgres: PostgresDatabase
) -> None:
    await administer(postgres, NO_OUTCOMES)
    assert (await client.post("/api/v1/agents", json=BODY)).status_code == 201
    assert await notes(api, tenant) == [("agent.create", "intended", None)]


@pytest.mark.parametrize(
    ("error", "outcomes"),
    [
        (asyncio.CancelledError(), ["intended", "unknown"]),
        (NotFound("gone"), ["intended", "refused"]),
        (OSError("lost"), ["intended", "unknown"]),
    ],
)
async def test_an_intention_stays_whatever_becomes_of_it(
    database: Database, postgres: PostgresDatabase, error: BaseException, outcomes: list[str]
) -> None:
    tenant_id = await insert_tenant(postgres.programs)
    caller = principal(tenant_id, "t", Role.DEVELOPER)
    with pytest.raises(type(error)):
        async with Audit(database).intended(caller, "agent.delete", target="n.a"):
            raise error
    async with database.session(caller.tenant_id) as session:
        details = (await session.execute(sa.select(t.audit_log.c.details).order_by(t.audit_log.c.id))).scalars()
        assert [item["outcome"] for item in details] == outcomes
