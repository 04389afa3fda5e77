"""What people of a tenant can do with the roles of the chart, and with built-in ones: never open the network."""

from copy import deepcopy

import pytest

from agentic_core.cluster.kinds import Object
from agentic_crds.tenant import OwnPolicies
from agentic_operator.desired import namespace, network
from agentic_operator.engine import ownership
from tests.manifests import golden
from tests.manifests.cluster import OPERATOR, TENANT_NAMESPACE, Cluster
from tests.requirements import requirement
from tests.security import made

pytestmark = pytest.mark.xdist_group("charts")
ADMIN_ONLY = ("get secrets", "create secrets", "patch secrets", "create rolebindings")
DEVELOPER = (
    "create agents.agentic.io",
    "delete agents.agentic.io",
    "patch agents.agentic.io/scale",
    "patch modelproviders.agentic.io",
    "create configmaps",
)
VIEWER = ("list agents.agentic.io", "get modelproviders.agentic.io", "list agentrevisions.agentic.io", "get pods/log")
NOBODY = (
    "create agentrevisions.agentic.io",
    "patch agents.agentic.io/status",
    "create networkpolicies.networking.k8s.io",
    "delete networkpolicies.networking.k8s.io",
    "patch resourcequotas",
    "delete resourcequotas",
    "patch limitranges",
    "create services",
    "create deployments.apps",
    "create pods",
    "create pods/exec",
    "create serviceaccounts/token",
    "create roles.rbac.authorization.k8s.io",
    "impersonate serviceaccounts",
)
POLICY: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "open", "namespace": made.PLACE},
    "spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]},
}


def rights(cluster: Cluster, user: str, wanted: tuple[str, ...], where: str = golden.TENANT) -> set[str]:
    """Those of the rights that the user has."""
    return {
        right
        for right in wanted
        if cluster.kubectl("auth", "can-i", *_asked(right), "-n", where, user=user).stdout.startswith("yes")
    }


def _asked(right: str) -> list[str]:
    verb, resource = right.split()
    resource, _, part = resource.partition("/")
    return [verb, resource, *([f"--subresource={part}"] if part else [])]


@requirement("tenant-namespaces")
@pytest.mark.parametrize(
    ("level", "has"),
    [("viewer", {*VIEWER}), ("developer", {*VIEWER, *DEVELOPER}), ("admin", {*VIEWER, *DEVELOPER, *ADMIN_ONLY})],
)
def test_each_level_has_its_rights_in_its_namespace_alone(cluster: Cluster, level: str, has: set[str]) -> None:
    user = golden.person(cluster, level)
    everything = (*VIEWER, *DEVELOPER, *ADMIN_ONLY, *NOBODY)
    assert rights(cluster, user, everything) == has
    assert rights(cluster, user, (*VIEWER, "get secrets"), "foreign") == set()


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_built_in_roles_have_no_right_to_the_platforms_kinds(cluster: Cluster, role: str) -> None:
    user = built_in(cluster, role)
    assert rights(cluster, user, ("get pods",)) == {"get pods"}, "else this shows nothing"
    assert rights(cluster, user, (*(right for right in VIEWER if "agentic.io" in right), *DEVELOPER[:4])) == set()


def built_in(cluster: Cluster, role: str) -> str:
    """A user with a built-in role in the namespace of the tenant."""
    name = f"{role}-built-in"
    made_by_mistake = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": golden.TENANT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    assert not cluster.apply(made_by_mistake)
    return name


def allow(cluster: Cluster, policies: OwnPolicies) -> None:
    """What the operator writes on the namespace when the Tenant says so."""
    tenant = {"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme", "uid": "acme-uid"}}
    body = namespace.namespace(golden.TENANT, tenant="acme", uid="acme-uid", own_policies=policies)
    assert not cluster.apply(ownership.owned(body, tenant), account=OPERATOR)


@pytest.mark.parametrize("role", ["edit", "admin", ""])
def test_nobody_adds_to_what_the_network_allows(cluster: Cluster, role: str) -> None:
    """Policies add up: one of the tenant's would open what the platform's deny. Not even the cluster's administrator
    does so by mistake; the Tenant says it."""
    user = built_in(cluster, role) if role else ""
    for method in ("POST", "PATCH"):
        complaint = cluster.attempt(method, POLICY, user=user)
        assert "has no NetworkPolicies of its own" in complaint
        assert "spec.network.ownPolicies: Allowed" in complaint
    elsewhere = deepcopy(POLICY)
    elsewhere["metadata"]["namespace"] = "foreign"
    assert cluster.attempt("POST", elsewhere) == "", "namespaces of no tenant are not concerned"


def test_a_tenant_may_have_policies_of_its_own_when_the_platform_team_says_so(cluster: Cluster) -> None:
    user = built_in(cluster, "edit")
    change = '{"metadata":{"labels":{"agentic.io/own-network-policies":"Allowed"}}}'
    done = cluster.kubectl("patch", "namespace", golden.TENANT, "--type=merge", "-p", change)
    assert "written by agentic-operator only" in done.stderr, "the label is no way around"
    allow(cluster, OwnPolicies.ALLOWED)
    try:
        assert cluster.attempt("POST", POLICY, user=user) == ""
        forged = deepcopy(POLICY)
        forged["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "agentic-operator"}
        assert "written by agentic-operator only" in cluster.attempt("POST", forged, user=user)
        assert not cluster.apply(POLICY)
    finally:
        allow(cluster, OwnPolicies.DENIED)
    assert "has no NetworkPolicies" in cluster.attempt("PATCH", POLICY, user=user)
    assert cluster.kubectl("delete", "networkpolicy", "-n", golden.TENANT, "open", user=user).returncode == 0


def test_nobody_takes_the_platforms_policies_away(cluster: Cluster) -> None:
    deny = made.child(network.default_deny(**made.WHERE), made.TENANT)
    assert not cluster.apply(deny, account=OPERATOR)
    try:
        user = built_in(cluster, "edit")
        for policies in (OwnPolicies.DENIED, OwnPolicies.ALLOWED):
            allow(cluster, policies)
            assert "written by agentic-operator only" in cluster.attempt("DELETE", deny, user=user)
            opened = deepcopy(deny)
            opened["spec"]["egress"] = [{}]
            assert "written by agentic-operator only" in cluster.attempt("PATCH", opened, user=user)
            del opened["metadata"]["labels"]
            assert "written by agentic-operator only" in cluster.attempt("PATCH", opened, user=user)
        collector = "system:serviceaccount:kube-system:namespace-controller"
        done = cluster.kubectl(
            "delete", "networkpolicy", "-n", golden.TENANT, "default-deny", "--dry-run=server",
            "--as-group=system:masters", user=collector,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    finally:
        allow(cluster, OwnPolicies.DENIED)
        assert (
            cluster.kubectl("delete", "networkpolicy", "-n", golden.TENANT, "default-deny", account=OPERATOR).returncode
            == 0
        )


def test_an_adopted_namespace_keeps_no_permission_that_somebody_wrote_before() -> None:
    """The operator always writes the label, so that one from before the adoption is replaced."""
    assert TENANT_NAMESPACE["metadata"]["labels"]["agentic.io/own-network-policies"] == "Denied"
