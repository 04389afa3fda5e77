"""A real API server with both charts applied, read through kubectl as any user.

It is not the API server that other tests share: the chart's admission policies would get in their way.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.manifests import charts
from tests.manifests.charts import Object
from tests.support.apiserver import control_plane
from tests.support.waiting import until_sync

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
TENANT_NAMESPACE: charts.Object = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "acme-default",
        "labels": {"agentic.io/tenant": "acme", "app.kubernetes.io/managed-by": "agentic-operator"},
    },
}
ONCE = ("Job", "Pod")
"""Kinds of hooks that Helm makes anew instead of changing them."""
OPERATOR, API, GATEWAY, INSTALL = "agentic-operator", "agentic-api", "agentic-gateway", "agentic-install"


@dataclass(frozen=True)
class Cluster:
    """An API server, called through kubectl."""

    kubeconfig: Path

    def kubectl(
        self, *arguments: str, stdin: str | None = None, account: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator, or as a ServiceAccount of the platform, whatever it answers."""
        identity = [f"--as=system:serviceaccount:{charts.NAMESPACE}:{account}"] if account else []
        command = [charts.program("kubectl"), f"--kubeconfig={self.kubeconfig}", *identity, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def apply(self, *objects: Object, account: str | None = None, dry_run: bool = False) -> str:
        """Apply objects on the server and return the complaint, which is empty when all were accepted."""
        options = ["--server-side", "--force-conflicts", "--field-manager=tests", "--validate=strict"]
        done = self.kubectl(
            "apply",
            *options,
            *(["--dry-run=server"] if dry_run else []),
            "-f-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
            account=account,
        )
        complaints = [line for line in done.stderr.splitlines() if line and not line.startswith("Warning")]
        assert bool(complaints) == bool(done.returncode), done.stderr
        warnings = [line for line in done.stderr.splitlines() if "PodSecurity" in line]
        return "\n".join([*complaints, *warnings])

    def rules(self, account: str, namespace: str) -> set[str]:
        """What a ServiceAccount of the platform may do in a namespace, as the API server sums it up."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        done = self.kubectl("create", "--validate=false", "-f-", "-ojson", stdin=json.dumps(review), account=account)
        assert done.returncode == 0, done.stderr
        return {_rule(rule) for rule in json.loads(done.stdout)["status"]["resourceRules"]}


def _rule(rule: dict[str, Any]) -> str:
    resources = [_resource(name, group) for group in rule.get("apiGroups", []) for name in sorted(rule["resources"])]
    names = f" [{', '.join(sorted(rule['resourceNames']))}]" if rule.get("resourceNames") else ""
    return f"{', '.join(resources)}{names}: {' '.join(sorted(rule['verbs']))}"


def _resource(name: str, group: str) -> str:
    plural, slash, part = name.partition("/")
    return (f"{plural}.{group}" if group else plural) + slash + part


@contextmanager
def installed(folder: Path) -> Iterator[Cluster]:
    """A control plane with the charts and a namespace of a tenant."""
    with control_plane(folder) as plane:
        cluster = Cluster(plane.kubeconfig)
        plane.create_namespace(charts.NAMESPACE, **RESTRICTED)
        plane.create_namespace("foreign")
        release = [obj for obj in charts.platform("defaults") if obj["kind"] not in ONCE]
        for objects in (charts.parse(charts.template(charts.CRDS, {})), release):
            complaint = cluster.apply(*objects)
            assert not complaint, complaint
        until_sync(lambda: _policies_hold(cluster), "admission policies in force")
        complaint = cluster.apply(TENANT_NAMESPACE, account=OPERATOR)
        assert not complaint, complaint
        yield cluster


def _policies_hold(cluster: Cluster) -> bool:
    """Whether the API server has loaded the policies: they follow their creation after a moment."""
    done = cluster.kubectl("label", "namespace", "foreign", "a=b", "--dry-run=server", account=OPERATOR)
    return "ValidatingAdmissionPolicy" in done.stderr
