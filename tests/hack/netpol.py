"""Loads hack/cluster/netpol.py, which is a script and in no package, and builds the objects that its tests need."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

SCRIPT = Path(__file__).parents[2] / "hack" / "cluster" / "netpol.py"
Object = dict[str, Any]


def load() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("netpol", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


netpol = load()


def pod(namespace: str, name: str, ip: str = "", ports: Any = (), **labels: str) -> Object:
    """A pod with this address; ports are (protocol, name, number)."""
    declared = [{"name": n, "containerPort": number, "protocol": protocol} for protocol, n, number in ports]
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": labels, "uid": f"{namespace}/{name}"},
        "spec": {"containers": [{"name": "main", "ports": declared}]},
        "status": {"podIP": ip, "phase": "Running"},
    }


def namespace(name: str, **labels: str) -> Object:
    """A namespace."""
    return {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name} | labels}}


def policy(where: str, name: str, spec: Object) -> Object:
    """A policy for all pods, or those of spec's podSelector."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": where, "name": name},
        "spec": {"podSelector": {}} | spec,
    }


def ingress(*rules: Object, **spec: Any) -> Object:
    """The spec of a policy for what comes in."""
    return {"policyTypes": ["Ingress"], "ingress": list(rules)} | spec


def egress(*rules: Object, **spec: Any) -> Object:
    """The spec of a policy for what goes out."""
    return {"policyTypes": ["Egress"], "egress": list(rules)} | spec


def match(**labels: str) -> Object:
    """A selector of these labels."""
    return {"matchLabels": labels}


def chains(text: str) -> dict[str, list[str]]:
    """The lines of each chain and map of a table."""
    found: dict[str, list[str]] = {}
    head = ""
    for line in text.splitlines():
        if line.endswith("{") and line.startswith("\t"):
            head = line.strip(" \t{")
            found[head] = []
        elif line.startswith("\t\t"):
            found[head].append(line.strip())
    return found


def rules(pods: list[Object], namespaces: list[Object], *policies: Object, **options: Any) -> dict[str, list[str]]:
    """The chains of these policies, once nft has agreed with the text, in a network namespace of its own."""
    text = netpol.ruleset(pods, namespaces, list(policies), **options)
    nft = subprocess.run(
        ["unshare", "--net", "nft", "-f", "-"], input=text * 2, capture_output=True, text=True, check=False
    )
    assert nft.returncode == 0, nft.stderr + text
    return chains(text)
