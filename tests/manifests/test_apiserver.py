"""The charts and samples before a real API server: it takes every object, and pods keep to `restricted`."""

from pathlib import Path

import pytest
import yaml

from agentic_crds import KINDS
from tests.manifests import charts
from tests.manifests.cluster import OPERATOR, Cluster, tenant_namespace
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane

pytestmark = pytest.mark.xdist_group("charts")  # one API server with the charts, not one for each worker
SAMPLES = sorted((charts.MANIFESTS / "samples").rglob("*.yaml"))
MODELS = {model.kind_name: model for model in KINDS.models}


def namespaces(objects: list[charts.Object]) -> list[charts.Object]:
    """The namespaces that objects live in."""
    found = {obj["metadata"]["namespace"] for obj in objects if "namespace" in obj["metadata"]}
    return [tenant_namespace(name) for name in sorted(found)]


@requirement("helm")
@pytest.mark.parametrize("name", sorted(charts.VALUES))
def test_the_api_server_takes_every_object(cluster: Cluster, name: str) -> None:
    assert not cluster.apply(*charts.platform(name), dry_run=True)


@pytest.mark.parametrize("name", sorted(charts.VALUES))
def test_pods_keep_the_restricted_standard(cluster: Cluster, name: str) -> None:
    for owner, template in charts.pod_templates(charts.platform(name)).items():
        metadata = template["metadata"] | {"name": owner.lower().replace("/", "-"), "namespace": charts.NAMESPACE}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        assert not cluster.apply(pod, dry_run=True), owner


def test_the_restricted_standard_is_enforced_here(cluster: Cluster) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": charts.NAMESPACE},
        "spec": {"containers": [{"name": "root", "image": "root"}], "hostNetwork": True},
    }
    assert 'violates PodSecurity "restricted' in cluster.apply(pod, dry_run=True)


@requirement("declarative")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(charts.MANIFESTS)))
def test_samples_are_accepted_by_api_server_and_models(cluster: Cluster, path: Path) -> None:
    objects = [obj for obj in yaml.safe_load_all(path.read_text()) if obj]
    assert objects
    for namespace in namespaces(objects):
        assert not cluster.apply(namespace, account=OPERATOR)
    assert not cluster.apply(*objects)
    for obj in objects:
        if obj["kind"] in MODELS:
            model = MODELS[obj["kind"]].model_validate(obj)
            assert model.manifest()["spec"] == obj["spec"]


def test_samples_show_every_kind_that_users_write() -> None:
    shown = {obj["kind"] for path in SAMPLES for obj in yaml.safe_load_all(path.read_text())}
    assert {"Tenant", "ModelProvider", "Agent"} <= shown


@requirement("declarative")
def test_the_quickstart_is_complete() -> None:
    """The agent's provider and model are the provider's, in a namespace of the tenant."""
    files = (charts.MANIFESTS / "samples/quickstart").iterdir()
    objects = {
        obj["kind"]: MODELS[obj["kind"]].model_validate(obj) for file in files for obj in charts.parse(file.read_text())
    }
    tenant, provider, agent = objects["Tenant"], objects["ModelProvider"], objects["Agent"]
    wanted = agent.manifest()["spec"]["model"]
    assert agent.metadata.namespace == provider.metadata.namespace
    assert agent.metadata.namespace == f"{tenant.metadata.name}-default"
    assert wanted["provider"] == provider.metadata.name
    assert wanted["name"] in [model["name"] for model in provider.manifest()["spec"]["models"]]


def test_the_way_to_the_api_server_is_where_the_cluster_says_that_it_is(plane: ControlPlane) -> None:
    values: charts.Values = {"networkPolicy": {"database": {"to": charts.HERE}}}
    with charts.values_files(values) as files:
        command = ("template", "agentic", str(charts.PLATFORM), "--namespace", charts.NAMESPACE, *files)
        done = charts.helm(*command, "--dry-run=server", f"--kubeconfig={plane.kubeconfig}")
    assert done.returncode == 0, done.stderr
    policy = charts.one(charts.parse(done.stdout), "NetworkPolicy", "agentic-operator")
    rule = policy["spec"]["egress"][0]
    service = plane.request("GET", "/api/v1/namespaces/default/services/kubernetes")["spec"]
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    slice_ = plane.request("GET", path)
    addresses = {*service["clusterIPs"], *(one for end in slice_["endpoints"] for one in end["addresses"])}
    assert {peer["ipBlock"]["cidr"] for peer in rule["to"]} == {f"{address}/32" for address in addresses}
    assert {port["port"] for port in rule["ports"]} == {443, 6443, *(port["port"] for port in slice_["ports"])}
