"""Who may do what, checked on a real API server: RBAC, and the policies that hold what RBAC cannot say."""

import json

import pytest

from agentic_operator.desired import access, metadata
from tests.manifests import charts, golden
from tests.manifests.cluster import API, GATEWAY, INSTALL, OPERATOR, Cluster, tenant_namespace
from tests.security import made

pytestmark = pytest.mark.xdist_group("charts")  # one API server with the charts, not one for each worker
ACCOUNTS = (API, GATEWAY, INSTALL, OPERATOR)
REVISION: charts.Object = {
    "apiVersion": "agentic.io/v1alpha1",
    "kind": "AgentRevision",
    "metadata": {
        "name": "assistant-0123456789",
        "namespace": golden.TENANT,
        "labels": metadata.labels(tenant="acme"),
    },
    "spec": {
        "agent": "assistant",
        "hash": "0123456789" + "0" * 54,
        "definition": {
            "wire": "openai",
            "models": [{"provider": "openai", "name": "gpt"}],
            "maxOutputTokens": 1,
            "limits": {},
        },
    },
}
PATCH = ("patch", "--type=merge", "--dry-run=server")


def allowed(cluster: Cluster, account: str, verb: str, resource: str, *options: str) -> bool:
    """What `kubectl auth can-i` answers."""
    return cluster.kubectl("auth", "can-i", verb, resource, *options, account=account).stdout.startswith("yes")


def patch(cluster: Cluster, account: str, target: tuple[str, str], change: charts.Object) -> str:
    """The complaint about a change that is not carried out, empty when it is allowed."""
    done = cluster.kubectl(*PATCH, *target, "-p", json.dumps(change), account=account)
    return done.stderr if done.returncode else ""


def test_rights_are_those_of_the_golden_file(cluster: Cluster) -> None:
    """Outage 25 of others: rights that grew unseen."""
    assert golden.text(cluster) == golden.FILE.read_text(), "if intended: python -m tests.manifests.golden"


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("verb", ["list", "watch"])
def test_nobody_lists_secrets_across_namespaces(cluster: Cluster, account: str, verb: str) -> None:
    assert not allowed(cluster, account, verb, "secrets", "--all-namespaces")
    assert not allowed(cluster, account, verb, "secrets", "-n", golden.TENANT)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_nobody_is_an_administrator(cluster: Cluster, account: str) -> None:
    assert not allowed(cluster, account, "*", "*", "--all-namespaces")
    assert not allowed(cluster, account, "escalate", "clusterroles")
    assert not allowed(cluster, account, "bind", "clusterroles/cluster-admin")
    assert not allowed(cluster, account, "impersonate", "users")


def test_the_operator_hands_on_no_right_but_that_to_read_provider_keys(cluster: Cluster) -> None:
    assert not cluster.apply(golden.provider_binding(golden.TENANT, OPERATOR), account=OPERATOR, dry_run=True)
    denied = "attempting to grant RBAC permissions not currently held"
    everything = golden.provider_binding(golden.TENANT, OPERATOR, role="cluster-admin")
    assert denied in cluster.apply(everything, account=OPERATOR)
    role = access.secret_role("stolen", namespace=golden.TENANT, tenant="acme", secret="stolen")
    assert denied in cluster.apply(role, account=OPERATOR)


@pytest.mark.parametrize("namespace", ["foreign", "kube-system", charts.NAMESPACE])
def test_the_operator_stays_in_namespaces_of_tenants(cluster: Cluster, namespace: str) -> None:
    complaint = cluster.apply(golden.provider_binding(namespace, OPERATOR), account=OPERATOR)
    assert f"agentic-operator writes only into namespaces labelled agentic.io/tenant, not into {namespace}" in complaint
    service = made.service()
    assert cluster.attempt("PATCH", service, account=OPERATOR) == ""
    service["metadata"]["namespace"] = namespace
    del service["metadata"]["ownerReferences"]
    assert "agentic-operator writes only" in cluster.apply(service, account=OPERATOR)


def test_the_operator_takes_no_namespace_that_was_not_handed_over(cluster: Cluster) -> None:
    """Outage 2 of others: a namespace moved into a tenant by a label."""
    label = {"metadata": {"labels": {"agentic.io/tenant": "acme"}}}
    for namespace in ("foreign", "kube-system"):
        assert "annotate it agentic.io/adopt=true" in patch(cluster, OPERATOR, ("namespace", namespace), label)
    handed_over = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "handed-over", "annotations": {"agentic.io/adopt": "true"}},
    }
    assert not cluster.apply(handed_over)
    assert cluster.attempt("PATCH", tenant_namespace("handed-over"), account=OPERATOR, manager=OPERATOR) == ""


@pytest.mark.parametrize("subresource", ["", "status"])
def test_nobody_else_moves_a_namespace_into_or_out_of_a_tenant(cluster: Cluster, subresource: str) -> None:
    path = [f"--subresource={subresource}"] if subresource else []
    for namespace, labels in (
        ("foreign", {"agentic.io/tenant": "acme"}),
        (golden.TENANT, {"agentic.io/tenant": "rival"}),
        (golden.TENANT, {"agentic.io/tenant": None}),
        (golden.TENANT, {"app.kubernetes.io/managed-by": "me"}),
        (golden.TENANT, {"pod-security.kubernetes.io/enforce": "privileged"}),
    ):
        change = json.dumps({"metadata": {"labels": labels}})
        refused = cluster.kubectl(*PATCH, *path, "namespace", namespace, "-p", change)
        assert "written by agentic-operator only" in refused.stderr, (namespace, labels)
    own = json.dumps({"metadata": {"labels": {"team": "a"}, "annotations": {"agentic.io/adopt": "true"}}})
    assert cluster.kubectl(*PATCH, *path, "namespace", golden.TENANT, "-p", own).returncode == 0
    made = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "squat", "labels": {"agentic.io/tenant": "a"}},
    }
    assert "written by agentic-operator only" in cluster.apply(made)


def test_revisions_are_written_by_the_operator_only(cluster: Cluster) -> None:
    complaint = "AgentRevisions are written by agentic-operator only"
    assert complaint in cluster.apply(REVISION)
    assert not cluster.apply(made.child(REVISION), account=OPERATOR)
    target = ("-n", golden.TENANT, "delete", "agentrevision", REVISION["metadata"]["name"])
    assert complaint in cluster.kubectl(*target).stderr
    collector = "--as=system:serviceaccount:kube-system:generic-garbage-collector"
    rights = "--as-group=system:masters"
    assert cluster.kubectl(*target, collector, rights, "--dry-run=server").returncode == 0
    assert cluster.kubectl(*target, account=OPERATOR).returncode == 0


def test_a_status_is_written_by_the_operator_only(cluster: Cluster) -> None:
    agent: charts.Object = {
        "apiVersion": "agentic.io/v1alpha1",
        "kind": "Agent",
        "metadata": {"name": "told", "namespace": golden.TENANT},
        "spec": {"model": {"name": "m"}},
    }
    assert not cluster.apply(agent)
    told = json.dumps(agent | {"status": {"endpoint": f"http://agent-told.{golden.TENANT}.svc:8080"}})
    write = ("apply", "--server-side", "--dry-run=server", "--subresource=status", "--field-manager=tests", "-f-")
    assert "written by agentic-operator only" in cluster.kubectl(*write, stdin=told).stderr
    written = cluster.kubectl(*write, stdin=told, account=OPERATOR)
    assert written.returncode == 0, written.stderr


def test_the_api_changes_nothing_of_a_tenant_but_finalizers(cluster: Cluster) -> None:
    tenant: charts.Object = {
        "apiVersion": "agentic.io/v1alpha1",
        "kind": "Tenant",
        "metadata": {"name": "finalized"},
        "spec": {},
    }
    assert not cluster.apply(tenant)
    target = ("tenant", "finalized")
    assert not patch(cluster, API, target, {"metadata": {"finalizers": ["agentic.io/data"]}})
    for change in (
        {"spec": {"displayName": "other"}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
    ):
        assert "agentic-api changes nothing of a Tenant but its finalizers" in patch(cluster, API, target, change)
    del tenant["spec"]
    tenant["metadata"] = {"name": "without-spec"}
    assert not cluster.apply(tenant)
    assert not patch(cluster, API, ("tenant", "without-spec"), {"metadata": {"finalizers": ["agentic.io/data"]}})


def test_the_api_writes_config_maps_of_agents_only(cluster: Cluster) -> None:
    def config_map(name: str, namespace: str = golden.TENANT, **metadata: object) -> charts.Object:
        meta = {"name": name, "namespace": namespace} | metadata
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"prompt": "p"}}

    owner = {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "name": "a", "uid": "u"}
    assert not cluster.apply(config_map("a-prompt-1", ownerReferences=[owner]), account=API)
    assert not cluster.apply(config_map("foreign"))
    complaint = "agentic-api writes only ConfigMaps that an Agent owns"
    assert complaint in cluster.apply(config_map("a-prompt-2"), account=API)
    assert complaint in cluster.apply(config_map("foreign", ownerReferences=[owner]), account=API)
    path = f"/api/v1/namespaces/{golden.TENANT}/configmaps"
    assert complaint in cluster.kubectl("delete", "--raw", f"{path}/foreign", account=API).stderr
    assert cluster.kubectl("delete", "--raw", f"{path}/a-prompt-1", account=API).returncode == 0
    elsewhere = config_map("a-prompt-1", "foreign", ownerReferences=[owner])
    assert "agentic-api writes only into namespaces" in cluster.apply(elsewhere, account=API)
