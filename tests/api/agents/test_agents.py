"""Agents over the API, kept as custom resources in a real API server."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from agentic_core import names
from agentic_core.cluster.kinds import CONFIG_MAP, custom
from agentic_crds import Agent
from tests.api import harness
from tests.api.harness import Api, World
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

BRIEF = {
    "agent_id": "analyst-v1",
    "capabilities": ["data_analysis", "visualization"],
    "tools": ["python_repl", "web_search"],
    "model": "claude-4-sonnet",
    "system_prompt": "...",
    "resource_limits": {"max_tokens": 100000, "max_execution_time": 300},
}


@requirement("api-create-agent", "api-get-agent", "agent-definition")
async def test_the_agent_of_the_brief_is_accepted_as_it_is(api: Api, world: World) -> None:
    tenant = await world.tenant()
    async with api.client(await api.key(tenant, "developer")) as client:
        created = await client.post("/api/v1/agents", json=BRIEF)
        assert created.status_code == 201, created.text
        shown = (await client.get("/api/v1/agents/analyst-v1")).json()
    assert shown["agent_id"] == "analyst-v1"
    assert shown["namespace"] == f"{tenant}-default"
    assert shown["tools"] == [{"name": name, "builtin": name} for name in ("python_repl", "web_search")]
    assert shown["model"]["name"] == BRIEF["model"]
    assert shown["limits"]["max_tokens"] == 100000
    assert shown["status"] == {
        "ready": False,
        "reason": "Pending",
        "message": "The operator has not seen the agent yet.",
        "latest_revision": None,
        "ready_revision": None,
    }


SUPPORT: dict[str, Any] = {
    "name": "support",
    "description": "Answers customers.",
    "capabilities": ["support"],
    "system_prompt": "You answer questions of customers.",
    "model": {"provider": "openai", "name": "gpt-5", "temperature": 0.2, "fallbacks": [{"name": "gpt-5-mini"}]},
    "tools": ["calculator", {"name": "fetch", "builtin": "http_fetch"}],
    "limits": {"max_tokens": 5000, "max_iterations": 3},
    "runtime": {"mode": "Dedicated", "autoscaling": {"max_replicas": 3}},
}
TOOLS = [{"name": "calculator", "builtin": "calculator"}, {"name": "fetch", "builtin": "http_fetch"}]
AGENT = custom(Agent)


async def test_all_fields_reach_the_resource(client: httpx2.AsyncClient, world: World, tenant: str) -> None:
    created = await client.post("/api/v1/agents", json=SUPPORT)
    assert created.status_code == 201, created.text
    assert created.headers["location"] == f"/api/v1/agents/{tenant}-default.support"
    resource = await world.cluster.get(AGENT.ref("support", f"{tenant}-default"))
    assert resource is not None
    spec = resource["spec"]
    assert spec["model"] == SUPPORT["model"] | {"maxOutputTokens": 4096}
    assert spec["tools"] == TOOLS
    assert spec["limits"] == {"maxTokens": 5000, "maxIterations": 3, "maxExecutionTime": 300}
    assert spec["runtime"]["autoscaling"] == {"maxReplicas": 3, "minReplicas": 1, "targetCpu": 70}
    shown = (await client.get(f"/api/v1/agents/{tenant}-default.support")).json()
    for name in ("name", "description", "capabilities", "system_prompt"):
        assert shown[name] == SUPPORT[name]
    assert shown["tools"] == TOOLS


async def test_a_name_is_taken_once(client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post("/api/v1/agents", json=SUPPORT) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"already_exists"}


async def test_readiness_in_the_operators_words(client: httpx2.AsyncClient, world: World, tenant: str) -> None:
    await client.post("/api/v1/agents", json=SUPPORT)
    revision = await world.ready(f"{tenant}-default", "support")

    async def ready() -> bool:
        status = (await client.get("/api/v1/agents/support")).json()["status"]
        return bool(status["ready"] and status["ready_revision"] == revision)

    await until(ready, what="the agent to be shown as ready")


async def test_replace_removes_what_is_not_sent(client: httpx2.AsyncClient, world: World, tenant: str) -> None:
    await client.post("/api/v1/agents", json=SUPPORT)
    changed = await client.put("/api/v1/agents/support", json={"model": "gpt-6", "system_prompt": "Be brief."})
    assert changed.status_code == 200, changed.text
    shown = (await client.get("/api/v1/agents/support")).json()
    assert shown == changed.json()
    assert (shown["system_prompt"], shown["description"], shown["tools"]) == ("Be brief.", "", [])
    assert shown["model"]["provider"] is None
    resource = await world.cluster.get(AGENT.ref("support", f"{tenant}-default"))
    assert resource is not None
    assert "provider" not in resource["spec"]["model"]
    assert {entry["operation"] for entry in resource["metadata"]["managedFields"]} == {"Apply"}


async def test_patch_keeps_what_is_not_sent(client: httpx2.AsyncClient) -> None:
    await client.post("/api/v1/agents", json=SUPPORT)
    patch = {"system_prompt": "Be brief.", "model": {"temperature": None}, "limits": {"max_tokens": 7}}
    changed = await client.patch("/api/v1/agents/support", json=patch)
    assert changed.status_code == 200, changed.text
    shown = changed.json()
    assert (shown["system_prompt"], shown["tools"]) == ("Be brief.", TOOLS)
    assert (shown["model"]["temperature"], shown["model"]["name"]) == (None, "gpt-5")
    assert (shown["limits"]["max_tokens"], shown["limits"]["max_iterations"]) == (7, 3)


async def test_parallel_patches_of_different_fields_are_all_kept(client: httpx2.AsyncClient) -> None:
    await client.post("/api/v1/agents", json=SUPPORT)
    patches = [{"description": "d"}, {"system_prompt": "p"}, {"capabilities": ["c"]}]
    answers = await asyncio.gather(*(client.patch("/api/v1/agents/support", json=patch) for patch in patches))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    shown = (await client.get("/api/v1/agents/support")).json()
    assert (shown["description"], shown["system_prompt"], shown["capabilities"]) == ("d", "p", ["c"])


async def test_a_bad_patch_is_explained(client: httpx2.AsyncClient) -> None:
    await client.post("/api/v1/agents", json=SUPPORT)
    for patch in ({"nothing": 1}, {"model": None}, {"limits": {"max_tokens": "many"}}, {"name": "other"}):
        answer = await client.patch("/api/v1/agents/support", json=patch)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), patch


async def test_if_match_guards_against_lost_updates(client: httpx2.AsyncClient) -> None:
    version = (await client.post("/api/v1/agents", json=SUPPORT)).json()["version"]
    seen = (await client.get("/api/v1/agents/support")).headers["etag"]
    assert seen == f'"{version}"'
    first = await client.patch("/api/v1/agents/support", json={"description": "1"}, headers={"If-Match": seen})
    second = await client.patch("/api/v1/agents/support", json={"description": "2"}, headers={"If-Match": seen})
    assert (first.status_code, second.status_code) == (200, 412)
    assert second.json()["code"] == "precondition_failed"


async def test_fields_of_others_are_not_overwritten(client: httpx2.AsyncClient, world: World, tenant: str) -> None:
    meta = {"name": "from-git", "namespace": f"{tenant}-default"}
    spec = {"model": {"name": "m"}, "systemPrompt": "From Git."}
    resource = {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "metadata": meta, "spec": spec}
    await world.cluster.apply(resource, "argocd-controller")

    async def seen() -> bool:
        return (await client.get("/api/v1/agents/from-git")).status_code == 200

    await until(seen, what="the agent to be seen")
    answer = await client.put("/api/v1/agents/from-git", json={"model": "m", "system_prompt": "Mine."})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "argocd-controller" in answer.json()["detail"]
    mine = await client.patch("/api/v1/agents/from-git", json={"description": "Not in Git."})
    assert mine.status_code == 200, mine.text


async def test_a_create_that_was_cut_off_in_the_middle_can_be_changed(
    client: httpx2.AsyncClient, world: World, tenant: str
) -> None:
    meta = {"name": "half", "namespace": f"{tenant}-default"}
    spec = {"model": {"name": "m"}, "description": "half", "systemPrompt": "Half."}
    half = {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "metadata": meta, "spec": spec}
    await world.cluster.create(half, names.API_MANAGER)

    async def changed() -> bool:
        answer = await client.put("/api/v1/agents/half", json={"model": "other", "system_prompt": "Whole."})
        return answer.status_code == 200

    await until(changed, what="the agent to be changed")
    shown = (await client.get("/api/v1/agents/half")).json()
    assert (shown["model"]["name"], shown["system_prompt"], shown["description"]) == ("other", "Whole.", "")


async def test_a_deleted_agent_is_gone_and_its_name_free(client: httpx2.AsyncClient, world: World, tenant: str) -> None:
    await client.post("/api/v1/agents", json=SUPPORT)
    assert (await client.delete("/api/v1/agents/support")).status_code == 204
    assert (await client.get("/api/v1/agents/support")).status_code == 404
    assert (await client.delete("/api/v1/agents/support")).status_code == 404
    assert await world.cluster.get(AGENT.ref("support", f"{tenant}-default")) is None
    assert (await client.post("/api/v1/agents", json=SUPPORT)).status_code == 201
    assert (await client.get("/api/v1/agents/support")).status_code == 200


async def test_pages_together_list_each_agent_once(client: httpx2.AsyncClient) -> None:
    expected = [f"agent-{number}" for number in range(5)]
    for name in expected:
        await client.post("/api/v1/agents", json={"name": name, "model": "m"})
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/api/v1/agents", params=query)).json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == expected


async def test_a_long_prompt_lives_in_a_config_map(client: httpx2.AsyncClient, world: World, tenant: str) -> None:
    prompt = "Be thorough. " * 1000
    created = await client.post("/api/v1/agents", json=SUPPORT | {"system_prompt": prompt})
    assert created.status_code == 201, created.text
    first = created.json()["system_prompt_from"]
    stored = await world.cluster.get(CONFIG_MAP.ref(first["name"], f"{tenant}-default"))
    assert stored is not None
    assert stored["data"] == {first["key"]: prompt}
    assert stored["metadata"]["ownerReferences"][0]["name"] == "support"
    changed = await client.patch("/api/v1/agents/support", json={"system_prompt": prompt + "!"})
    assert changed.status_code == 200, changed.text
    second = changed.json()["system_prompt_from"]
    assert second != first
    assert await world.cluster.get(CONFIG_MAP.ref(first["name"], f"{tenant}-default")) is None
    short = await client.patch("/api/v1/agents/support", json={"system_prompt": "Be brief."})
    assert (short.json()["system_prompt"], short.json()["system_prompt_from"]) == ("Be brief.", None)
    assert await world.cluster.get(CONFIG_MAP.ref(second["name"], f"{tenant}-default")) is None


async def test_rules_of_the_cluster_are_explained(client: httpx2.AsyncClient) -> None:
    body = {"name": "wrong", "model": "m", "runtime": {"mode": "Shared", "replicas": 2}}
    answer = await client.post("/api/v1/agents", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "need mode Dedicated" in answer.json()["detail"]


async def test_a_quota_of_the_cluster_is_explained(client: httpx2.AsyncClient, world: World, tenant: str) -> None:
    none = {"count/agents.agentic.io": "0"}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "agents", "namespace": f"{tenant}-default"},
        "spec": {"hard": none},
    }
    await world.cluster.apply(quota, "tests")
    await world.cluster.apply_status(quota | {"status": {"hard": none, "used": none}}, "tests")

    async def explained() -> bool:
        answer = await client.post("/api/v1/agents", json=SUPPORT)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        return "exceeded quota" in answer.json()["detail"]

    await until(explained, what="the API server to count with the new quota")


async def test_only_developers_write_agents_and_every_role_reads_them(api: Api, tenant: str) -> None:
    for role, status in (("viewer", 403), ("invoker", 403), ("developer", 201)):
        async with api.client(await api.key(tenant, role)) as client:
            assert (await client.post("/api/v1/agents", json=SUPPORT)).status_code == status
            assert (await client.get("/api/v1/agents")).status_code == 200
    async with api.client() as admin:
        refused = await admin.get("/api/v1/agents")
    assert (refused.status_code, refused.json()["code"]) == (403, "no_tenant")


async def test_where_git_declares_agents_the_api_refuses_to_write_them(
    plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path, world: World
) -> None:
    async with harness.running(plane, postgres, tmp_path / "secrets", gitops_only=True) as api:
        async with api.client(await api.key(await world.tenant(), "developer")) as client:
            answers = [
                await client.post("/api/v1/agents", json=SUPPORT),
                await client.put("/api/v1/agents/support", json={"model": "m"}),
                await client.patch("/api/v1/agents/support", json={}),
                await client.delete("/api/v1/agents/support"),
            ]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "gitops_only")] * 4
