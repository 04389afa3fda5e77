"""A cluster with real pods for the end-to-end tests: that of AGENTIC_KUBECONFIG, else what hack/cluster-up.sh gives."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAME = "test"


@dataclass(frozen=True)
class RealCluster:
    """A running cluster, seen through kubectl."""

    kubeconfig: str

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """The output of a kubectl command that succeeds."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, f"{' '.join(args)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects as a user does."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, *args: str) -> Any:
        """What `kubectl get ... -o json` says."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))


def start(name: str = NAME) -> RealCluster:
    """The cluster of this name; it stays for the next run."""
    done = subprocess.run(
        [ROOT / "hack" / "cluster-up.sh", name], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return RealCluster(done.stdout.strip())
