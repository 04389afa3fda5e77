"""A run is never lost: whatever is killed in the middle of it, it ends, with all that was produced, once."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support import platform as support
from tests.support.platform import SYSTEM, Platform
from tests.support.waiting import until_sync

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

ENDED = {"succeeded", "failed", "cancelled", "interrupted"}


@pytest.fixture(scope="module", autouse=True)
def _storyteller(platform: Platform) -> Iterator[None]:
    """An agent whose answers take long enough to kill something."""
    model = {"provider": "local", "name": "smollm2", "maxOutputTokens": 1500, "temperature": 1.0}
    spec = {"model": model, "systemPrompt": "Tell very long stories.", "limits": {"maxExecutionTime": 60}}
    platform.apply(support.agent("storyteller", "acme-default", **spec))
    platform.wait_ready("agent", "storyteller", "acme-default")
    yield
    platform.kubectl("delete", "agent", "storyteller", "-n", "acme-default")


class Story:
    """A run in the background."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.before = {run["id"] for run in self.runs()}
        body = {"input": "Tell me a long story about a ship.", "stream": True}
        threading.Thread(target=self._send, args=(body,), daemon=True).start()
        self.id = until_sync(self._started, what="the run to start producing")

    def _send(self, body: dict[str, Any]) -> None:
        try:
            with self.platform.client() as client:
                client.post("/api/v1/agents/storyteller/execute", json=body)
        except httpx2.TransportError:
            return

    def runs(self) -> list[dict[str, Any]]:
        with self.platform.client() as client:
            items: list[dict[str, Any]] = client.get("/api/v1/runs", params={"agent": "storyteller"}).json()["items"]
            return items

    def _started(self) -> str | None:
        new = [run["id"] for run in self.runs() if run["id"] not in self.before]
        if not new:
            return None
        return str(new[0])

    def ended(self, seconds: float = 60) -> dict[str, Any]:
        """The run once it has ended."""

        def look() -> dict[str, Any] | None:
            try:
                with self.platform.client() as client:
                    answer = client.get(f"/api/v1/runs/{self.id}")
            except httpx2.TransportError:
                return None
            run = answer.json() if answer.status_code == 200 else {}
            return run if run.get("status") in ENDED else None

        return until_sync(look, what=f"run {self.id} to end", seconds=seconds)


def kill(platform: Platform, namespace: str, selector: str) -> None:
    """End all pods of a selector at once, without grace; PostgreSQL as a crash does, so that its pod keeps its data."""
    if selector.endswith("=postgres"):
        (pod,) = platform.pods(namespace, selector)
        platform.kubectl(
            "exec", "-n", namespace, pod["metadata"]["name"], "--", "sh", "-c", "kill -QUIT 1", check=False
        )
        return
    platform.kubectl("delete", "pod", "-n", namespace, "-l", selector, "--grace-period=0", "--force")


def back(platform: Platform) -> None:
    """Wait until the platform answers again."""
    for name in ("agentic-api", "agentic-gateway", "agentic-operator"):
        platform.kubectl("rollout", "status", f"deployment/{name}", "-n", SYSTEM, "--timeout=120s")
    platform.kubectl("rollout", "status", "deployment/agent-runtime", "-n", "acme-default", "--timeout=120s")

    def answers() -> bool:
        try:
            return bool(platform.execute("assistant", "Hi")["status"] == "succeeded")
        except (AssertionError, httpx2.TransportError):
            return False

    until_sync(answers, what="an answer after the fault", seconds=120)


@pytest.mark.parametrize(
    ("namespace", "selector"),
    [
        (SYSTEM, "app.kubernetes.io/name=agentic-api"),
        (SYSTEM, "app.kubernetes.io/name=agentic-gateway"),
        ("acme-default", "app.kubernetes.io/name=agent-runtime"),
        ("agentic-dev", "app.kubernetes.io/name=postgres"),
    ],
    ids=lambda value: value.rpartition("=")[2] if "=" in value else "",
)
def test_a_run_ends_whatever_is_killed(platform: Platform, namespace: str, selector: str) -> None:
    story = Story(platform)
    kill(platform, namespace, selector)
    run = story.ended(seconds=120)
    assert run["status"] in {"interrupted", "failed", "succeeded"}, run
    roles = [message["role"] for message in run["messages"]]
    assert roles.count("assistant") <= 1
    back(platform)


def test_a_cancelled_run_ends_at_once(platform: Platform) -> None:
    story = Story(platform)
    with platform.client() as client:
        answer = client.post(f"/api/v1/runs/{story.id}:cancel")
    assert answer.status_code in {200, 202}, answer.text
    assert story.ended(seconds=10)["status"] == "cancelled"


def test_the_operator_takes_up_its_work_after_a_kill(platform: Platform) -> None:
    platform.apply(support.agent("late", "acme-default"))
    kill(platform, SYSTEM, "app.kubernetes.io/name=agentic-operator")
    platform.wait_ready("agent", "late", "acme-default", seconds=120)
    revisions = [
        one["metadata"]["name"]
        for one in platform.get("agentrevisions", "-n", "acme-default")["items"]
        if one["spec"]["agent"] == "late"
    ]
    assert len(revisions) == 1
    platform.kubectl("delete", "agent", "late", "-n", "acme-default")
