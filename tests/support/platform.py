"""The platform as its users see it: kubectl, the API with a key, pods. The end-to-end tests use it."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.support.waiting import until_sync

ROOT = Path(__file__).parents[2]
SYSTEM = "agentic-system"


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    kubeconfig: str
    url: str
    key: str
    """API key of the tenant acme."""
    log: str
    """What the quickstart printed."""

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """The output of a kubectl command."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0 or not check, f"{' '.join(args)}\n{done.stdout}{done.stderr}"
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def get(self, *args: str) -> Any:
        """The objects of `kubectl get ... -o json`."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply manifests as a user does."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The pods that run now."""
        items: list[dict[str, Any]] = self.get("pods", "-n", namespace, "-l", selector)["items"]
        return [pod for pod in items if not pod["metadata"].get("deletionTimestamp")]

    def condition(self, kind: str, name: str, namespace: str | None = None, *, which: str = "Ready") -> dict[str, Any]:
        """A condition of a resource, an empty one while it has none."""
        place = ["-n", namespace] if namespace else []
        conditions = self.get(kind, name, *place).get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == which), {})

    def wait_ready(self, kind: str, name: str, namespace: str | None = None, *, seconds: float = 120) -> None:
        """Wait until a resource is Ready for its newest generation."""

        def ready() -> bool:
            place = ["-n", namespace] if namespace else []
            body = self.get(kind, name, *place)
            condition = self.condition(kind, name, namespace)
            current = condition.get("observedGeneration") == body["metadata"]["generation"]
            return current and condition.get("status") == "True"

        until_sync(ready, what=f"{kind} {name} to be Ready", seconds=seconds)

    @contextmanager
    def client(self, key: str | None = None) -> Iterator[httpx2.Client]:
        """An HTTP client with a key; the tenant acme's without one."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        with httpx2.Client(base_url=self.url, headers=headers, timeout=180, trust_env=False) as client:
            yield client

    def admin_key(self) -> str:
        """The first admin key, from its Secret."""
        data = self.get("secret", "agentic-admin-key", "-n", SYSTEM)["data"]
        return base64.b64decode(data["key"]).decode()

    def new_key(self, tenant: str, role: str = "owner") -> str:
        """A new key of a tenant."""
        with self.client(self.admin_key()) as client:

            def create() -> str | None:
                answer = client.post("/api/v1/keys", json={"name": "e2e", "role": role, "tenant": tenant})
                return answer.json()["key"] if answer.status_code == 201 else None

            return until_sync(create, what=f"a key of tenant {tenant}")

    def execute(self, agent: str, text: str, *, key: str | None = None, **body: Any) -> dict[str, Any]:
        """A finished run."""
        with self.client(key) as client:
            answer = client.post(f"/api/v1/agents/{agent}/execute", json={"input": text} | body)
            assert answer.status_code == 200, answer.text
            run: dict[str, Any] = answer.json()
            return run


def start(cluster: str) -> Platform:
    """Bring up the platform with the quickstart, as a user does, on a cluster of this name."""
    environ = os.environ | {"AGENTIC_CLUSTER": cluster}
    environ.pop("ANTHROPIC_API_KEY", None)
    environ.pop("OPENAI_API_KEY", None)
    done = subprocess.run(
        [ROOT / "hack" / "quickstart.sh"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    exports = subprocess.run([ROOT / "hack" / "env.sh"], env=environ, capture_output=True, text=True, check=True).stdout
    values = dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines() if "=" in line)
    values = {name: value.strip("'\"") for name, value in values.items()}
    return Platform(
        kubeconfig=values["KUBECONFIG"], url=values["AGENTIC_URL"], key=values["AGENTIC_API_KEY"], log=done.stdout
    )


def tenant(name: str) -> dict[str, Any]:
    """A Tenant manifest."""
    return {"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": {}}


def provider(namespace: str) -> dict[str, Any]:
    """A ModelProvider manifest of the model inside the cluster."""
    return {
        "apiVersion": "agentic.io/v1alpha1",
        "kind": "ModelProvider",
        "metadata": {"name": "local", "namespace": namespace},
        "spec": {
            "type": "openaiCompatible",
            "baseUrl": "http://local-model.agentic-dev.svc:8080/v1",
            "models": [{"name": "smollm2", "price": {"input": "0.10", "output": "0.40"}}],
        },
    }


def agent(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """An Agent manifest on that model."""
    return {
        "apiVersion": "agentic.io/v1alpha1",
        "kind": "Agent",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "systemPrompt": "Answer in one short sentence.",
            "model": {"provider": "local", "name": "smollm2", "maxOutputTokens": 32},
        }
        | spec,
    }
