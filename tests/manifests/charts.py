"""Renders the charts with the real Helm, with the sets of values that every test of them goes through."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support import CACHE

Object = dict[str, Any]
Values = dict[str, Any]

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
CRDS = MANIFESTS / "helm/agentic-crds"
PLATFORM = MANIFESTS / "helm/agentic-platform"
NAMESPACE = "agentic-system"

HERE = [{"ipBlock": {"cidr": "192.0.2.1/32"}}]
INSTALLED: Values = {
    "networkPolicy": {
        "apiServer": {"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]},
        "database": {"to": [{"ipBlock": {"cidr": "192.0.2.2/32"}}]},
    }
}
"""What every installation of the platform has to say where no cluster can be looked at."""
VALUES: dict[str, Values] = {
    "defaults": {},
    "minimal": {
        "operator": {"replicas": 1},
        "api": {"replicas": 1, "autoscaling": {"enabled": False}},
        "gateway": {"replicas": 1, "autoscaling": {"enabled": False}, "privateProviders": True},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "admissionPolicies": {"enabled": False},
    },
    "everything": {
        "images": {
            "registry": "registry.example.com/mirror",
            "tag": "1.2.3",
            "pullPolicy": "Always",
            "pullSecrets": [{"name": "pull"}],
            "runtime": {"digest": "sha256:" + "0" * 64},
        },
        "logLevel": "debug",
        "otlpEndpoint": "http://collector.monitoring:4318",
        "priorityClassName": "system-cluster-critical",
        "operator": {
            "tools": ["calculator"],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "platform", "operator": "Exists", "effect": "NoSchedule"}],
            "podAnnotations": {"example.com/team": "platform"},
        },
        "api": {
            "corsOrigins": ["https://console.example.com"],
            "service": {"type": "LoadBalancer", "port": 80, "annotations": {"example.com/public": "true"}},
            "podAnnotations": {"example.com/team": "platform"},
        },
        "gateway": {"privateProviders": True, "podAnnotations": {"example.com/team": "platform"}},
        "networkPolicy": {
            "apiClients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
            "metricsClients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "apiServer": {"ports": [6443]},
            "database": {"port": 6432},
            "collector": {
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
            },
            "models": [{"to": [{"namespaceSelector": {"matchLabels": {"models": "yes"}}}], "ports": [8000]}],
        },
    },
}


def program(name: str) -> str:
    """A program that hack/cluster/build.sh has built, else the one that is installed."""
    built = CACHE / "bin" / name
    return str(built) if built.exists() else name


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm, whatever it answers."""
    return subprocess.run([program("helm"), *arguments], capture_output=True, text=True, check=False)


@contextmanager
def values_files(*values: Values) -> Iterator[list[str]]:
    """Arguments of Helm that name files with these values, of which later ones win."""
    with tempfile.TemporaryDirectory() as folder:
        arguments: list[str] = []
        for number, one in enumerate(values):
            file = Path(folder) / f"{number}.yaml"
            file.write_text(yaml.safe_dump(one))
            arguments += ["--values", str(file)]
        yield arguments


def template(chart: Path, values: Values) -> str:
    """What `helm template` prints."""
    with values_files(*([] if chart == CRDS else [INSTALLED]), values) as files:
        done = helm("template", "agentic", str(chart), "--namespace", NAMESPACE, *files)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _rendered(name: str) -> str:
    return template(PLATFORM, VALUES[name])


def platform(name: str) -> list[Object]:
    """The objects of agentic-platform with one of the sets of values."""
    return parse(_rendered(name))


def parse(text: str) -> list[Object]:
    """The objects of a text with YAML documents."""
    return [obj for obj in yaml.safe_load_all(text) if obj]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The only object of this kind and name."""
    found = [obj for obj in objects if obj["kind"] == kind and obj["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def pod_templates(objects: list[Object]) -> dict[str, Object]:
    """`kind/name` of every object with pods, and the metadata and spec of these pods."""
    templates = {
        f"{obj['kind']}/{obj['metadata']['name']}": obj["spec"]["template"]
        for obj in objects
        if obj["kind"] in ("Deployment", "Job")
    }
    pods = {f"Pod/{obj['metadata']['name']}": obj for obj in objects if obj["kind"] == "Pod"}
    return templates | pods


def environment(pod: Object) -> dict[str, Object]:
    """The environment variables of a pod's only container, by name."""
    (container,) = pod["spec"]["containers"]
    return {variable["name"]: variable for variable in container.get("env", [])}
