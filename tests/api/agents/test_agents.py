"""Agents over the API, kept as custom resources in a real API server."""

from tests.api.harness import Api, World
from tests.requirements import requirement

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
    assert shown["tools"] == BRIEF["tools"]
    assert shown["model"]["name"] == BRIEF["model"]
    assert shown["limits"]["max_tokens"] == 100000
    assert shown["status"] == {
        "ready": False,
        "reason": "Pending",
        "message": "The operator has not seen the agent yet.",
        "latest_revision": None,
        "ready_revision": None,
    }
