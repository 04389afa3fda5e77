"""What packets do on a real cluster: NetworkPolicies hold, from a pod's first moment on."""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hack.netpol import Object, egress, ingress, match, policy
from tests.support import cluster as support
from tests.support.cluster import RealCluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

IMAGE = "docker.io/library/python:3.11-slim-bookworm"
SERVE = """
import http.server
http.server.ThreadingHTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
PROBE = """
import json, socket, sys
def reaches(host, port):
    try: socket.create_connection((host, port), 1).close(); return True
    except OSError: return False
print(json.dumps([reaches(host, port) for host, port in json.loads(sys.argv[1])]))
"""
FIRST = """
import socket, sys, time
count, end = 0, time.monotonic() + 1.5
while time.monotonic() < end:
    try: socket.create_connection((sys.argv[1], 8080), 0.05).close(); count += 1
    except OSError: pass
print(count)
"""


def pod(namespace: str, name: str, script: str, *args: str, **labels: str) -> Object:
    container: Object = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent"}
    container |= {"command": ["python3", "-u", "-c", script, *args]}
    container |= {"securityContext": {"runAsUser": 10001}}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    head = {"name": name, "namespace": namespace, "labels": {"app": name} | labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec}


@dataclass(frozen=True)
class Net:
    """Two namespaces with two servers each."""

    cluster: RealCluster
    a: str
    b: str
    ips: dict[str, str]

    def reaches(self, source: str, *targets: str) -> list[bool]:
        """Which of these pods, or of (host:port), a pod can connect to."""
        found = [(self.ips[t], 8080) if t in self.ips else (t.split(":")[0], int(t.split(":")[1])) for t in targets]
        where, name = source.split("/")
        text = self.cluster.kubectl("exec", "-n", where, name, "--", "python3", "-c", PROBE, json.dumps(found))
        result: list[bool] = json.loads(text)
        return result

    def settles(self, source: str, targets: dict[str, bool]) -> None:
        """Waits for a moment until a pod reaches just these."""
        deadline = time.monotonic() + 10
        while self.reaches(source, *targets) != list(targets.values()):
            assert time.monotonic() < deadline, f"{source}: expected {targets}, got {self.reaches(source, *targets)}"

    def policies(self, *wanted: Object) -> None:
        """These policies, and no others."""
        for where in (self.a, self.b):
            self.cluster.kubectl("delete", "networkpolicy", "--all", "-n", where)
        if wanted:
            self.cluster.apply(*wanted)


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    cluster = support.start()
    token = secrets.token_hex(3)
    a, b = f"net-{token}-a", f"net-{token}-b"
    for name in (a, b):
        labels = {"side": name[-1]}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    made = [pod(where, name, SERVE) for where in (a, b) for name in ("x", "y")]
    cluster.apply(*made)
    ips: dict[str, Any] = {}
    for where in (a, b):
        cluster.kubectl("wait", "-n", where, "--for=condition=Ready", "pod", "--all", "--timeout=60s")
        for found in cluster.get("pods", "-n", where)["items"]:
            ips[f"{where}/{found['metadata']['name']}"] = found["status"]["podIP"]
    yield Net(cluster, a, b, ips)
    cluster.kubectl("delete", "namespace", a, b, "--wait=false")


def test_without_policies_all_pods_meet(net: Net) -> None:
    net.policies()
    net.settles(f"{net.a}/x", {f"{net.a}/y": True, f"{net.b}/x": True, f"{net.b}/y": True})


def test_default_deny_leaves_a_pod_only_itself(net: Net) -> None:
    net.policies(policy(net.b, "deny", {"policyTypes": ["Ingress", "Egress"]}))
    net.settles(f"{net.a}/x", {f"{net.a}/y": True, f"{net.b}/x": False, f"{net.b}/y": False})
    net.settles(f"{net.b}/x", {f"{net.b}/x": True, f"{net.b}/y": False, f"{net.a}/x": False, "10.96.0.10:53": False})


def test_ingress_lets_in_whom_it_selects(net: Net) -> None:
    peer = {"namespaceSelector": match(side="a"), "podSelector": match(app="y")}
    net.policies(
        policy(net.b, "friends", ingress({"from": [peer], "ports": [{"port": 8080}]}, podSelector=match(app="x")))
    )
    net.settles(f"{net.a}/x", {f"{net.b}/x": False, f"{net.b}/y": True})
    net.settles(f"{net.a}/y", {f"{net.b}/x": True, f"{net.b}/y": True})


def test_egress_to_dns_is_egress_to_nothing_else(net: Net) -> None:
    dns = {
        "to": [{"namespaceSelector": match(**{"kubernetes.io/metadata.name": "kube-system"})}],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}],
    }
    net.policies(policy(net.a, "dns", egress(dns)))
    net.settles(f"{net.a}/x", {"10.96.0.10:53": True, f"{net.a}/y": False, f"{net.b}/x": False})


def test_a_new_pod_is_never_without_its_rules(net: Net) -> None:
    net.policies(policy(net.a, "deny", egress(podSelector=match(kind="probe"))))
    net.settles(f"{net.a}/x", {f"{net.b}/x": True})
    probes = [f"probe{number}" for number in range(3)]
    net.cluster.apply(*(pod(net.a, name, FIRST, net.ips[f"{net.b}/x"], kind="probe") for name in probes))
    for name in probes:
        net.cluster.kubectl(
            "wait", "-n", net.a, "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s"
        )
        assert net.cluster.kubectl("logs", "-n", net.a, name).strip() == "0"
