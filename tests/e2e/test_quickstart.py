"""What the first hour with the platform shows: an answer, useful columns, explanations, live edits."""

import json

import pytest

from tests.requirements import requirement
from tests.support import platform as support
from tests.support.platform import Platform
from tests.support.waiting import until_sync

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


@requirement("execute-endpoint", "runtime")
def test_an_agent_answers(platform: Platform) -> None:
    run = platform.execute("assistant", "Say hello.")
    assert run["status"] == "succeeded", run
    assert run["output"].strip()
    assert run["usage"]["output_tokens"] > 0
    assert run["agent"] == "acme-default.assistant"
    with platform.client() as client:
        conversation = client.get(f"/api/v1/conversations/{run['conversation_id']}").json()
    assert [message["role"] for message in conversation["messages"]] == ["user", "assistant"]


def test_an_answer_is_streamed(platform: Platform) -> None:
    with (
        platform.client() as client,
        client.stream(
            "POST", "/api/v1/agents/assistant/execute", json={"input": "Count to five.", "stream": True}
        ) as got,
    ):
        assert got.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in got.iter_lines() if line]
    deltas = [line for line in lines if line == "event: message.delta"]
    assert len(deltas) > 1
    assert any(line == "event: final" for line in lines), lines[-6:]


@requirement("crds")
@pytest.mark.parametrize("kind", ["tenants", "agents", "agentrevisions"])
def test_columns_tell_what_is_the_case(platform: Platform, kind: str) -> None:
    head, *rows = platform.kubectl("get", kind, "-A").splitlines()
    assert rows
    assert "AGE" in head
    if kind != "agentrevisions":
        assert "READY" in head
        assert "True" in rows[0]


def test_fields_are_explained(platform: Platform) -> None:
    text = platform.kubectl("explain", "agent.spec.model")
    assert "maxOutputTokens" in text
    assert "The model that answers" in text


@requirement("declarative")
def test_an_edited_prompt_is_live_without_a_new_pod(platform: Platform) -> None:
    before = [pod["metadata"]["uid"] for pod in platform.pods("acme-default", "app.kubernetes.io/name=agent-runtime")]
    platform.apply(support.agent("edited", "acme-default", systemPrompt="One."))
    platform.wait_ready("agent", "edited", "acme-default")
    first = platform.execute("edited", "Hi")
    platform.apply(support.agent("edited", "acme-default", systemPrompt="Two."))

    def newer() -> bool:
        return bool(platform.execute("edited", "Hi")["revision"] != first["revision"])

    until_sync(newer, what="the new revision to be served", seconds=10)
    after = [pod["metadata"]["uid"] for pod in platform.pods("acme-default", "app.kubernetes.io/name=agent-runtime")]
    assert before == after
    platform.kubectl("delete", "agent", "edited", "-n", "acme-default")


def test_a_broken_edit_leaves_the_last_good_revision_serving(platform: Platform) -> None:
    platform.apply(support.agent("broken", "acme-default"))
    platform.wait_ready("agent", "broken", "acme-default")
    good = platform.execute("broken", "Hi")["revision"]
    platform.apply(support.agent("broken", "acme-default", model={"provider": "nowhere", "name": "x"}))

    def said() -> bool:
        found = platform.condition("agent", "broken", "acme-default", which="Resolved")
        return found.get("status") == "False" and "ModelProvider acme-default/nowhere not found" in found["message"]

    until_sync(said, what="the condition to say what is missing")
    assert platform.execute("broken", "Hi")["revision"] == good
    platform.kubectl("delete", "agent", "broken", "-n", "acme-default")


@requirement("operator")
def test_a_dedicated_agent_runs_in_pods_of_its_own(platform: Platform) -> None:
    runtime = {"mode": "Dedicated", "replicas": 1, "env": [{"name": "GREETING", "value": "hello"}]}
    platform.apply(support.agent("alone", "acme-default", runtime=runtime))
    platform.wait_ready("agent", "alone", "acme-default")
    assert platform.execute("alone", "Hi")["status"] == "succeeded"
    (pod,) = platform.pods("acme-default", "agentic.io/agent=alone")
    assert {"name": "GREETING", "value": "hello"} in pod["spec"]["containers"][0]["env"]
    platform.kubectl("delete", "agent", "alone", "-n", "acme-default")
    until_sync(lambda: not platform.pods("acme-default", "agentic.io/agent=alone"), what="its pods to go")


@requirement("agent-definition")
def test_the_agent_document_of_the_brief_is_accepted(platform: Platform) -> None:
    document = {
        "agent_id": "analyst-v1",
        "capabilities": ["data_analysis", "visualization"],
        "tools": ["python_repl", "web_search"],
        "model": "claude-4-sonnet",
        "system_prompt": "...",
        "resource_limits": {"max_tokens": 100000, "max_execution_time": 300},
    }
    with platform.client() as client:
        created = client.post("/api/v1/agents", json=document)
        assert created.status_code == 201, created.text
        assert client.get("/api/v1/agents/analyst-v1").status_code == 200

        def refused() -> bool:
            answer = client.post("/api/v1/agents/analyst-v1/execute", json={"input": "Hi"})
            return answer.status_code == 409 and "claude-4-sonnet" in answer.text

        until_sync(refused, what="the reason why it is not ready")
        assert client.delete("/api/v1/agents/analyst-v1").status_code in {200, 202, 204}


def test_the_quickstart_ends_with_an_answer_and_the_next_commands(platform: Platform) -> None:
    assert "kubectl get agents -A" in platform.log
    assert platform.url in platform.log
    spec = json.loads(platform.kubectl("get", "--raw", "/openapi/v3/apis/agentic.io/v1alpha1"))
    assert "io.agentic.v1alpha1.Agent" in spec["components"]["schemas"]
