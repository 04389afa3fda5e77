"""Every error is problem+json with a stable code, whatever is sent."""

import json
from typing import Any

import httpx2
import pytest

from tests.api.harness import Api, World
from tests.requirements import requirement

JSON = {"Content-Type": "application/json"}


def code(answer: httpx2.Response, status: int) -> str:
    """The code of a problem that has this status and says everything that a problem says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:agentic:problem:{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return str(body["code"])


@requirement("error-handling")
async def test_unknown_routes_and_methods_have_codes_of_their_own(api: Api) -> None:
    async with api.client() as client:
        assert code(await client.get("/api/v1/nothing"), 404) == "route_not_found"
        wrong = await client.put("/api/v1/agents", json={})
        assert code(wrong, 405) == "method_not_allowed"
        assert set(wrong.headers["allow"].split(", ")) == {"GET", "POST"}
        assert code(await client.get("/docs/secret.txt"), 404) == "not_found"


BODIES: list[tuple[bytes, int, str]] = [
    (b"", 422, "invalid"),
    (b"{", 400, "malformed"),
    (b'{"name": "\xff\xfe"}', 400, "malformed"),
    (b'{"name": "\\ud800"}', 400, "malformed"),
    (b'{"name": NaN}', 400, "malformed"),
    (b"[" * 100_000, 422, "invalid"),
    (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, 422, "invalid"),
    (b"[]", 422, "invalid"),
    (b'"text"', 422, "invalid"),
    (b"null", 422, "invalid"),
    (b'{"name": "a\\u0000b", "model": "m"}', 422, "invalid"),
    (b'{"a\\u0000": 1}', 422, "invalid"),
    (b'{"name": "UPPER", "model": "m"}', 422, "invalid"),
    (b'{"name": "a", "model": "m", "surprise": 1}', 422, "invalid"),
    (b'{"name": "a", "agent_id": "a", "model": "m"}', 422, "invalid"),
    (b'{"name": "a", "model": "m", "limits": {"max_tokens": 1e400}}', 400, "malformed"),
]


@pytest.fixture
async def developer(api: Api, world: World) -> str:
    return await api.key(await world.tenant(), "developer")


@requirement("input-validation")
async def test_hostile_bodies_are_refused_with_a_code(api: Api, developer: str) -> None:
    async with api.client(developer) as client:
        for body, status, expected in BODIES:
            answer = await client.post("/api/v1/agents", content=body, headers=JSON)
            assert code(answer, status) == expected, body[:60]


async def test_a_backslash_is_not_a_nul(api: Api, developer: str) -> None:
    body = {"name": "literal", "model": "m", "system_prompt": "write \\u0000 in JSON"}
    async with api.client(developer) as client:
        created = await client.post("/api/v1/agents", json=body)
    assert created.status_code == 201, created.text
    assert created.json()["system_prompt"] == body["system_prompt"]


async def test_bodies_that_are_not_declared_as_json_are_refused(api: Api, developer: str) -> None:
    body = json.dumps({"name": "a", "model": "m"}).encode()
    async with api.client(developer) as client:
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "nonsense",
            "",
        ):
            answer = await client.post("/api/v1/agents", content=body, headers={"Content-Type": kind})
            assert code(answer, 415) == "unsupported_media_type", kind


async def test_a_nul_in_a_url_is_refused_as_malformed(api: Api, developer: str) -> None:
    async with api.client(developer) as client:
        assert code(await client.get("/api/v1/agents/a%00b"), 400) == "malformed"
        assert code(await client.get("/api/v1/agents?cursor=%00"), 400) == "malformed"


async def test_queries_out_of_bounds_are_refused_as_invalid(api: Api, developer: str) -> None:
    async with api.client(developer) as client:
        for query in ("limit=0", "limit=201", "limit=x", "cursor=%F0%28", "cursor=!!!", "cursor=AAAA"):
            assert code(await client.get(f"/api/v1/agents?{query}"), 422) == "invalid", query


async def test_each_invalid_field_is_named_by_its_path(api: Api, developer: str) -> None:
    async with api.client(developer) as client:
        answer = await client.post("/api/v1/agents", json={"name": "a", "limits": {"max_tokens": 0}})
    assert code(answer, 422) == "invalid"
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields == {"body.model", "body.limits.max_tokens"}


async def test_a_clients_request_id_is_kept_unless_it_is_hostile(api: Api) -> None:
    async with api.client("") as client:
        named = await client.get("/healthz", headers={"X-Request-ID": "mine-1"})
        assert named.headers["x-request-id"] == "mine-1"
        for hostile in ("a b", "x" * 65, "a;b", "é"):
            answer = await client.get("/healthz", headers={b"X-Request-ID": hostile.encode()})
            assert answer.headers["x-request-id"] != hostile


async def test_an_unexpected_failure_says_nothing_of_its_cause(
    api: Api, developer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(type(api.context.catalog), "page", broken)
    async with api.client(developer) as client:
        answer = await client.get("/api/v1/agents")
    assert code(answer, 500) == "internal"
    assert "secret" not in answer.text
