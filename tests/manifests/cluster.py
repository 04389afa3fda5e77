"""A real API server with both charts applied, read through kubectl as any user.

It is not the API server that other tests share: the chart's admission policies would get in their way.
"""

import json
import subprocess
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentic_core.cluster.kinds import ref_of
from agentic_operator.desired import namespace
from agentic_operator.engine import ownership
from tests.manifests import charts
from tests.manifests.charts import Object
from tests.support.apiserver import ControlPlane, control_plane
from tests.support.waiting import until_sync

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def tenant_namespace(name: str, tenant: str = "acme", uid: str = "") -> Object:
    """A namespace of a tenant, as the operator makes it."""
    uid = uid or f"{tenant}-uid"
    metadata = {"name": tenant, "uid": uid}
    owner = {"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "metadata": metadata}
    return ownership.owned(namespace.namespace(name, tenant=tenant, uid=uid), owner)


TENANT_NAMESPACE = tenant_namespace("acme-default")
ONCE = ("Job", "Pod")
"""Kinds of hooks that Helm makes anew instead of changing them."""
OPERATOR, API, GATEWAY, INSTALL = "agentic-operator", "agentic-api", "agentic-gateway", "agentic-install"


@dataclass(frozen=True)
class Cluster:
    """An API server, called through kubectl."""

    plane: ControlPlane

    def kubectl(
        self, *arguments: str, stdin: str | None = None, account: str | None = None, user: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator, as a ServiceAccount of the platform or as some user, whatever it answers."""
        name = f"system:serviceaccount:{charts.NAMESPACE}:{account}" if account else user
        identity = [f"--as={name}"] if name else []
        command = [charts.program("kubectl"), f"--kubeconfig={self.plane.kubeconfig}", *identity, *arguments]
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

    def attempt(
        self,
        method: str,
        obj: Object,
        *,
        account: str = "",
        user: str = "",
        subresource: str = "",
        manager: str = "tests",
    ) -> str:
        """The complaint about a request that is not carried out, empty when it would be: POST creates the object, PATCH
        applies it, DELETE deletes it; as administrator, as a ServiceAccount of the platform or as some user."""
        ref = ref_of(obj)
        path = f"{ref.path}{subresource and f'/{subresource}'}"
        path = ref.kind.path(ref.namespace) if method == "POST" else path
        force = "&force=true" if method == "PATCH" else ""
        content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        name = f"system:serviceaccount:{charts.NAMESPACE}:{account}" if account else user
        body = None if method == "DELETE" else obj
        try:
            options = f"dryRun=All&fieldManager={manager}{force}"
            self.plane.request(method, f"{path}?{options}", body, content, user=name)
        except urllib.error.HTTPError as refused:
            return str(json.loads(refused.read())["message"])
        return ""

    def aggregated(self, role: str) -> bool:
        """Whether Kubernetes has filled a ClusterRole that sums up others."""
        found = self.kubectl("get", "clusterrole", role, "-ojsonpath={.rules[*].resources}").stdout
        return "secrets" in found and "agents" in found

    def rules(self, account: str | None, namespace: str, *, user: str | None = None) -> set[str]:
        """What a ServiceAccount of the platform, or a user, may do in a namespace, as the API server sums it up."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        done = self.kubectl(
            "create", "--validate=false", "-f-", "-ojson", stdin=json.dumps(review), account=account, user=user
        )
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
    with control_plane(folder, aggregation=True) as plane:
        cluster = Cluster(plane)
        plane.create_namespace(charts.NAMESPACE, **RESTRICTED)
        plane.create_namespace("foreign")
        release = [obj for obj in charts.platform("defaults") if obj["kind"] not in ONCE]
        for objects in (charts.parse(charts.template(charts.CRDS, {})), release):
            complaint = cluster.apply(*objects)
            assert not complaint, complaint
        until_sync(lambda: _policies_hold(cluster), "admission policies in force")
        until_sync(lambda: cluster.aggregated("agentic-tenant-admin"), "aggregated ClusterRoles")
        plane.operator = plane.account(charts.NAMESPACE, OPERATOR)
        complaint = cluster.apply(TENANT_NAMESPACE, account=OPERATOR)
        assert not complaint, complaint
        yield cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Both charts, applied to a real API server, one for a test process."""
    with installed(tmp_path_factory.mktemp("charts")) as running:
        yield running


def _policies_hold(cluster: Cluster) -> bool:
    """Whether the API server has loaded the policies: they follow their creation after a moment."""
    done = cluster.kubectl("label", "namespace", "foreign", "a=b", "--dry-run=server", account=OPERATOR)
    return "ValidatingAdmissionPolicy" in done.stderr
