"""API keys over the API: made, listed, used, revoked, expired; and what is never said about them."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from tests.api import harness
from tests.api.harness import Api, World
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until


@pytest.fixture
async def tenant(world: World) -> str:
    return await world.tenant()


@pytest.fixture
async def owner(api: Api, tenant: str) -> AsyncGenerator[httpx2.AsyncClient]:
    async with api.client(await api.key(tenant)) as opened:
        yield opened


async def make(client: httpx2.AsyncClient, **fields: object) -> dict[str, str]:
    answer = await client.post("/api/v1/keys", json={"name": "ci", "role": "viewer"} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


@requirement("api-auth-key")
async def test_a_key_works_until_it_is_revoked(api: Api, owner: httpx2.AsyncClient) -> None:
    made = await make(owner)
    async with api.client(made["key"]) as client:
        assert (await client.get("/api/v1/agents")).status_code == 200
        assert (await owner.delete(f"/api/v1/keys/{made['id']}")).status_code == 204
        refused = await client.get("/api/v1/agents")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_revoked_key_ends_on_other_replicas_too(
    api: Api, owner: httpx2.AsyncClient, plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    made = await make(owner)
    async with harness.running(plane, postgres, tmp_path / "secrets") as replica, replica.client(made["key"]) as client:
        assert (await client.get("/api/v1/agents")).status_code == 200
        await owner.delete(f"/api/v1/keys/{made['id']}")

        async def refused() -> bool:
            return (await client.get("/api/v1/agents")).status_code == 401

        # Keys are cached for 5 s at most; the rest is for a busy machine.
        await until(refused, what="the key to end on the other replica", seconds=10)


async def test_a_key_expires(api: Api, owner: httpx2.AsyncClient) -> None:
    made = await make(owner, expires_in=1)
    async with api.client(made["key"]) as client:

        async def refused() -> bool:
            return (await client.get("/api/v1/agents")).status_code == 401

        await until(refused, what="the key to expire", seconds=10)


@requirement("secrets")
async def test_the_secret_is_shown_once_and_kept_as_a_hash(
    owner: httpx2.AsyncClient, postgres: PostgresDatabase
) -> None:
    made = await make(owner)
    secret = made["key"][21:]
    listed = await owner.get("/api/v1/keys")
    shown = {item["id"]: item for item in listed.json()["items"]}
    assert shown[made["id"]]["prefix"] == made["key"][: len("agk_") + 16]
    assert secret not in listed.text
    connection = await asyncpg.connect(postgres.admin)
    stored = await connection.fetch("select * from api_keys where id = $1", made["id"])
    await connection.close()
    assert len(stored[0]["digest"]) == 32
    assert secret.encode() not in b"".join(str(value).encode() for value in stored[0].values())


async def test_every_bad_credential_gets_the_same_refusal(api: Api, owner: httpx2.AsyncClient) -> None:
    made = await make(owner)
    other = await make(owner)
    wrong_secret = made["key"][:21] + other["key"][21:]
    unknown = "agk_" + "a" * 16 + "_" + "b" * 43
    answers = []
    for credential in (
        f"Bearer {wrong_secret}",
        f"Bearer {unknown}",
        "Bearer nonsense",
        "Basic dXNlcjpwYXNz",
        "Bearer agk_",
    ):
        async with api.client("") as client:
            answer = await client.get("/api/v1/agents", headers={"Authorization": credential})
        body = answer.json()
        answers.append(
            (answer.status_code, body["code"], body["detail"], sorted(body), answer.headers["www-authenticate"])
        )
    assert len(set(map(str, answers))) == 1
    assert answers[0][0] == 401


async def test_platform_admins_manage_keys_of_every_tenant_and_see_them_apart(api: Api, tenant: str) -> None:
    async with api.client() as admin:
        nameless = await admin.post("/api/v1/keys", json={"name": "x", "role": "owner"})
        assert nameless.status_code == 422
        unknown = await admin.post("/api/v1/keys", json={"name": "x", "role": "owner", "tenant": "nobody"})
        assert unknown.status_code == 404
        second = await make(admin, role="platform-admin")
        await api.key(tenant)
        made = await make(admin, role="owner", tenant=tenant)
        mine = [item["id"] for item in (await admin.get("/api/v1/keys")).json()["items"]]
        theirs = [item["id"] for item in (await admin.get("/api/v1/keys", params={"tenant": tenant})).json()["items"]]
        assert second["id"] in mine
        assert made["id"] in theirs
        assert made["id"] not in mine
        assert (await admin.delete(f"/api/v1/keys/{made['id']}", params={"tenant": tenant})).status_code == 204


async def test_only_owners_manage_keys_and_none_makes_a_platform_admin(api: Api, tenant: str) -> None:
    for role in ("developer", "invoker", "viewer"):
        async with api.client(await api.key(tenant, role)) as client:
            assert (await client.get("/api/v1/keys")).status_code == 403
            assert (await client.post("/api/v1/keys", json={"name": "x", "role": "viewer"})).status_code == 403
    async with api.client(await api.key(tenant)) as client:
        raised = await client.post("/api/v1/keys", json={"name": "x", "role": "platform-admin"})
        assert raised.status_code == 403


@requirement("audit")
async def test_changes_and_denials_are_audited(api: Api, owner: httpx2.AsyncClient, tenant: str) -> None:
    made = await make(owner, role="viewer")
    async with api.client(made["key"]) as viewer:
        await viewer.post("/api/v1/agents", json={"name": "a", "model": "m"})
    await owner.post("/api/v1/agents", json={"name": "a", "model": "m"})
    await owner.delete("/api/v1/agents/a")
    await owner.delete(f"/api/v1/keys/{made['id']}")
    async with api.context.database.session(api.context.catalog.tenant_id(tenant)) as session:
        rows = await (await session.connection()).exec_driver_sql(
            "select actor, action, target from audit_log"
            " where details ->> 'outcome' is distinct from 'intended' order by id"
        )
        seen = [tuple(row) for row in rows]
    me = (await owner.get("/api/v1/keys")).json()["items"]
    actor = next(item["id"] for item in me if item["name"] == "test")
    assert seen[1:] == [
        (actor, "key.create", made["id"]),
        (made["id"], "denied", "POST /api/v1/agents"),
        (actor, "agent.create", f"{tenant}-default.a"),
        (actor, "agent.delete", f"{tenant}-default.a"),
        (actor, "key.revoke", made["id"]),
    ]


@requirement("rate-limit")
async def test_a_key_has_a_rate(plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path, world: World) -> None:
    tenant = await world.tenant()
    async with harness.running(plane, postgres, tmp_path / "secrets", requests_per_minute=30) as api:
        key, other = await api.key(tenant), await api.key(tenant)
        async with api.client(key) as client, api.client(other) as second:
            answers = await asyncio.gather(*(client.get("/api/v1/agents") for _ in range(31)))
            assert sorted(answer.status_code for answer in answers) == [200] * 30 + [429]
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert refused.json()["code"] == "rate_limited"
            assert 1 <= int(refused.headers["retry-after"]) <= 2
            assert refused.headers["ratelimit-limit"] == "30"
            assert refused.headers["ratelimit-remaining"] == "0"
            assert (await second.get("/api/v1/agents")).status_code == 200


async def test_a_tenant_has_a_bounded_number_of_keys_in_force(
    plane: ControlPlane, postgres: PostgresDatabase, world: World, tmp_path: Path
) -> None:
    async with harness.running(plane, postgres, tmp_path / "secrets", keys_per_tenant=3) as api:
        tenant, other = await world.tenant(), await world.tenant()
        async with api.client(await api.key(tenant)) as owner:
            body = {"name": "ci", "role": "viewer"}
            made = await asyncio.gather(*(owner.post("/api/v1/keys", json=body) for _ in range(5)))
            assert sorted(one.status_code for one in made) == [201, 201, 409, 409, 409]
            refused = next(one.json() for one in made if one.status_code == 409)
            assert refused["code"] == "too_many_keys"
            assert "3 keys in force" in refused["detail"]
            revoked = next(one.json()["id"] for one in made if one.status_code == 201)
            assert (await owner.delete(f"/api/v1/keys/{revoked}")).status_code == 204
            short = await owner.post("/api/v1/keys", json=body | {"expires_in": 1})
            assert short.status_code == 201, "a revoked key is not in force"

            async def expired() -> bool:
                return (await owner.post("/api/v1/keys", json=body)).status_code == 201

            await until(expired, what="an expired key to be out of force", seconds=10)
        await api.key(other)


async def test_the_rate_limit_counts_all_keys_of_a_tenant_together(
    plane: ControlPlane, postgres: PostgresDatabase, world: World, tmp_path: Path
) -> None:
    settings = {"requests_per_minute": 25, "tenant_requests_per_minute": 30}
    async with harness.running(plane, postgres, tmp_path / "secrets", **settings) as api:
        tenant, other = await world.tenant(), await world.tenant()
        keys = [await api.key(tenant) for _ in range(2)]
        statuses: list[int] = []
        for key in keys:
            async with api.client(key) as client:
                for _ in range(20):
                    answer = await client.get("/api/v1/agents")
                    statuses.append(answer.status_code)
        assert statuses.count(429) >= 5, "each key alone is below its own limit"
        assert statuses[:20] == [200] * 20
        assert answer.headers["ratelimit-limit"] == "30"
        assert "All keys of this tenant together may make 30 requests a minute" in answer.json()["detail"]
        async with api.client(await api.key(other)) as stranger:
            assert (await stranger.get("/api/v1/agents")).status_code == 200
