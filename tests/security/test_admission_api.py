"""What somebody with the api's token can do: its finalizer on Tenants, and agents in namespaces of tenants."""

import pytest

from agentic_core.cluster.kinds import Object
from agentic_crds import KINDS, Access
from tests.manifests import charts
from tests.manifests.cluster import API, Cluster
from tests.security import made

pytestmark = pytest.mark.xdist_group("charts")
NOBODY = {"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "name": "nobody", "uid": "0"}
TENANT: Object = {"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "held"}}


def with_metadata(obj: Object, **metadata: object) -> Object:
    """The object with more metadata."""
    return obj | {"metadata": obj["metadata"] | metadata}


def test_every_kind_that_the_api_writes_has_a_policy() -> None:
    policies = [obj for obj in charts.platform("defaults") if obj["kind"] == "ValidatingAdmissionPolicy"]
    for name, access in (("agentic-api-finalizers", Access.PATCH), ("agentic-api-in-tenants", Access.WRITE)):
        rules = charts.one(policies, "ValidatingAdmissionPolicy", name)["spec"]["matchConstraints"]["resourceRules"]
        assert rules[0]["resources"] == [kind.plural for kind in KINDS if kind.api is access]
        assert set(rules[0]["operations"]) == {"CREATE", "UPDATE", "DELETE"}


@pytest.mark.parametrize(
    "change",
    [
        {"ownerReferences": [NOBODY]},
        {"labels": {"a": "b"}},
        {"annotations": {"agentic.io/adopt": "true"}},
        {"finalizers": ["agentic.io/finalizer"]},
        {"finalizers": ["agentic.io/data", "example.com/held"]},
        {"finalizers": ["agentic.io/data-of-others"]},
    ],
    ids=str,
)
def test_of_a_tenant_it_changes_its_finalizer_only(cluster: Cluster, change: Object) -> None:
    """An owner that does not exist would have the garbage collector delete the Tenant."""
    assert not cluster.apply(TENANT | {"spec": {}})
    for finalizers in (["agentic.io/data"], []):
        finalized = with_metadata(TENANT, finalizers=finalizers)
        assert cluster.attempt("PATCH", finalized, account=API, manager="api") == ""
    complaint = cluster.attempt("PATCH", with_metadata(TENANT, **change), account=API, manager="api")
    assert "agentic-api changes nothing of a Tenant but its finalizers, and of those only agentic.io/data" in complaint


def test_it_takes_no_finalizer_of_others_away(cluster: Cluster) -> None:
    held = with_metadata(TENANT, name="kept", finalizers=["agentic.io/finalizer", "agentic.io/data"])
    assert not cluster.apply(held | {"spec": {}})
    for finalizers, complaint in (([], "denied request"), (["agentic.io/finalizer"], "")):
        patch = f'{{"metadata": {{"finalizers": {finalizers}}}}}'.replace("'", '"')
        done = cluster.kubectl(
            "patch", "tenant", "kept", "--type=merge", "--dry-run=server", f"-p={patch}", account=API
        )
        assert complaint in done.stderr
        assert bool(done.returncode) is bool(complaint)


def test_it_changes_no_spec_and_makes_no_tenant(cluster: Cluster) -> None:
    assert not cluster.apply(TENANT | {"spec": {}})
    changed = TENANT | {"spec": {"network": {"egress": [{"cidr": "0.0.0.0/0"}]}}}
    assert "denied request" in cluster.attempt("PATCH", changed, account=API)
    new = with_metadata(TENANT, name="made-by-the-api")
    assert "is forbidden" in cluster.attempt("PATCH", new | {"spec": {}}, account=API)


def test_it_writes_agents_in_namespaces_of_tenants_only(cluster: Cluster) -> None:
    spec = {"spec": {"model": {"name": "m"}}}
    agent = with_metadata(made.AGENT, name="written", uid=None)
    del agent["metadata"]["uid"]
    assert cluster.attempt("PATCH", agent | spec, account=API) == ""
    assert cluster.attempt("POST", agent | spec, account=API) == ""
    for namespace in ("kube-system", "foreign", charts.NAMESPACE):
        for method in ("PATCH", "POST"):
            complaint = cluster.attempt(method, with_metadata(agent, namespace=namespace) | spec, account=API)
            assert (
                f"agentic-api writes only into namespaces labelled agentic.io/tenant, not into {namespace}" in complaint
            )
    elsewhere = with_metadata(agent, namespace="foreign")
    assert not cluster.apply(elsewhere | spec)
    assert "agentic-api writes only into namespaces" in cluster.attempt("DELETE", elsewhere, account=API)


def test_it_decides_nothing_about_owners_and_finalizers_of_agents(cluster: Cluster) -> None:
    agent = with_metadata(made.AGENT, name="owned") | {"spec": {"model": {"name": "m"}}}
    del agent["metadata"]["uid"]
    assert cluster.attempt("PATCH", agent, account=API) == ""
    for change in ({"ownerReferences": [NOBODY]}, {"finalizers": ["agentic.io/data"]}):
        assert "denied request" in cluster.attempt("PATCH", with_metadata(agent, **change), account=API)
