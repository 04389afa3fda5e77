"""The charts as text: they render, keep to the schemas, refuse unknown values, and say what they mean."""

import subprocess
from typing import Any

import pytest
import yaml

from agentic_crds import KINDS
from tests.manifests import charts
from tests.requirements import requirement

SETS = sorted(charts.VALUES)


def conforms(text: str) -> None:
    """Fail unless kubeconform accepts every object of the text."""
    done = subprocess.run(
        [str(charts.ROOT / "hack/kubeconform.sh"), "-skip", "ServiceMonitor"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@requirement("helm")
@pytest.mark.parametrize("name", SETS)
def test_platform_conforms_to_the_schemas_of_kubernetes(name: str) -> None:
    conforms(charts.template(charts.PLATFORM, charts.VALUES[name]))


@pytest.mark.parametrize("keep", [True, False])
def test_crds_conform_and_are_kept_when_asked(keep: bool) -> None:
    text = charts.template(charts.CRDS, {"keep": keep})
    conforms(text)
    policies = [obj["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for obj in charts.parse(text)]
    assert policies == (["keep" if keep else None] * len(KINDS.models))


def test_crds_are_the_generated_ones() -> None:
    generated = sorted((charts.ROOT / "crds/generated").iterdir())
    assert [file.name for file in generated] == sorted(file.name for file in (charts.CRDS / "files").iterdir())
    rendered = {obj["metadata"]["name"]: obj for obj in charts.parse(charts.template(charts.CRDS, {"keep": False}))}
    for file in generated:
        wanted = yaml.safe_load(file.read_text())
        assert rendered[wanted["metadata"]["name"]] == wanted


def test_kubeconform_is_strict() -> None:
    with pytest.raises(AssertionError, match="colour"):
        conforms("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\ncolour: red\n")
    with pytest.raises(AssertionError, match="colour"):
        conforms("apiVersion: agentic.io/v1alpha1\nkind: Tenant\nmetadata: {name: a}\nspec: {colour: red}\n")


@pytest.mark.parametrize("chart", [charts.CRDS, charts.PLATFORM], ids=lambda chart: chart.name)
def test_helm_lint_finds_nothing(chart: Any) -> None:
    with charts.values_files(*([] if chart == charts.CRDS else [charts.INSTALLED])) as files:
        done = charts.helm("lint", "--strict", str(chart), *files)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("colour=red", "additional properties 'colour' not allowed"),
        ("api.replcas=2", "additional properties 'replcas' not allowed"),
        ("api.replicas=two", "/api/replicas"),
        ("images.pullPolicy=Sometimes", "/images/pullPolicy"),
        ("images.api.digest=latest", "/images/api/digest"),
        ("logLevel=loud", "/logLevel"),
        ("otlpEndpoint=collector", "/otlpEndpoint"),
        ("api.corsOrigins={console}", "/api/corsOrigins/0"),
        ("networkPolicy.models[0].to=all", "/networkPolicy/models/0"),
    ],
)
def test_unknown_and_wrong_values_are_refused(setting: str, complaint: str) -> None:
    done = charts.helm("template", "agentic", str(charts.PLATFORM), "--set", setting)
    assert done.returncode != 0
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"networkPolicy": {"database": {"to": charts.HERE}}}, "networkPolicy.apiServer.to is empty"),
        ({"networkPolicy": {"apiServer": {"to": charts.HERE}}}, "networkPolicy.database.to says which addresses"),
        (charts.INSTALLED | {"otlpEndpoint": "http://collector.monitoring:4318"}, "networkPolicy.collector.to says"),
    ],
    ids=["API server", "database", "collector"],
)
def test_places_that_are_not_named_are_not_everywhere(values: charts.Values, complaint: str) -> None:
    with charts.values_files(values) as files:
        done = charts.helm("template", "agentic", str(charts.PLATFORM), *files)
        assert done.returncode != 0
        assert complaint in done.stderr
        assert "for example [{ipBlock:" in done.stderr
        off = charts.helm("template", "agentic", str(charts.PLATFORM), *files, "--set", "networkPolicy.enabled=false")
    assert off.returncode == 0, off.stderr


def test_every_value_has_a_default_and_a_schema() -> None:
    """Values that the schema has and values.yaml does not show cannot be found by readers."""

    def keys(node: Any, path: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in node.items() if isinstance(node, dict) else ():
            found |= {f"{path}.{key}"} | keys(value, f"{path}.{key}")
        return found

    def properties(node: Any, path: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in node.get("properties", {}).items() if not path.endswith(".settings") else ():
            found |= {f"{path}.{key}"} | properties(value, f"{path}.{key}")
        return found

    values = yaml.safe_load((charts.PLATFORM / "values.yaml").read_text())
    schema = yaml.safe_load((charts.PLATFORM / "values.schema.json").read_text())
    del schema["properties"]["global"]
    assert properties(schema) <= keys(values)


@requirement("hpa")
@pytest.mark.parametrize("program", ["agentic-api", "agentic-gateway"])
def test_an_autoscaled_deployment_leaves_replicas_to_its_autoscaler(program: str) -> None:
    scaled, fixed = charts.platform("defaults"), charts.platform("minimal")
    autoscaler = charts.one(scaled, "HorizontalPodAutoscaler", program)
    assert autoscaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": program}
    assert "replicas" not in charts.one(scaled, "Deployment", program)["spec"]
    assert charts.one(fixed, "Deployment", program)["spec"]["replicas"] == 1
    assert not [obj for obj in fixed if obj["kind"] == "HorizontalPodAutoscaler"]


@pytest.mark.parametrize("program", ["agentic-api", "agentic-gateway", "agentic-operator"])
def test_every_program_survives_a_drain(program: str) -> None:
    budget = charts.one(charts.platform("defaults"), "PodDisruptionBudget", program)["spec"]
    deployment = charts.one(charts.platform("defaults"), "Deployment", program)["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]
    assert len(deployment["template"]["spec"]["topologySpreadConstraints"]) == 2


@requirement("health")
@pytest.mark.parametrize("program", ["agentic-api", "agentic-gateway", "agentic-operator"])
def test_every_program_is_probed(program: str) -> None:
    deployment = charts.one(charts.platform("defaults"), "Deployment", program)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    ports = {port["name"] for port in container["ports"]}
    assert {container[probe]["httpGet"]["port"] for probe in probes} <= ports
    liveness = "liveness" if program == "agentic-operator" else "http"
    assert {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe")} == {liveness}


def test_images_by_registry_tag_and_digest() -> None:
    deployment = charts.one(charts.platform("everything"), "Deployment", "agentic-operator")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/mirror/operator:1.2.3"
    runtime = charts.environment(deployment["spec"]["template"])["AGENTIC_RUNTIME_IMAGE"]["value"]
    assert runtime == "registry.example.com/mirror/runtime@sha256:" + "0" * 64


@pytest.mark.parametrize("name", SETS)
def test_pods_are_locked_down(name: str) -> None:
    for owner, pod in charts.pod_templates(charts.platform(name)).items():
        (container,) = pod["spec"]["containers"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"], owner
        assert container["securityContext"]["readOnlyRootFilesystem"], owner
        assert {"requests", "limits"} == set(container["resources"]), owner


@requirement("secrets")
def test_each_program_gets_only_the_secrets_it_needs() -> None:
    got: dict[str, set[str]] = {}
    for owner, pod in charts.pod_templates(charts.platform("defaults")).items():
        refs = [
            v["valueFrom"]["secretKeyRef"]
            for v in charts.environment(pod).values()
            if "secretKeyRef" in v.get("valueFrom", {})
        ]
        mounts = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        got[owner] = {f"{ref['name']}/{ref['key']}" for ref in refs} | {
            f"{mount['secretName']}/{item['key']}" for mount in mounts for item in mount["items"]
        }
    assert got == {
        "Deployment/agentic-api": {
            "agentic-database-api/dsn",
            "agentic-run-tokens/private.pem",
            "agentic-api-keys/pepper",
        },
        "Deployment/agentic-gateway": {"agentic-database-gateway/dsn", "agentic-run-tokens/public.pem"},
        "Deployment/agentic-operator": {"agentic-run-tokens/public.pem"},
        "Job/agentic-install": {"agentic-database-migrator/dsn"},
        "Pod/agentic-check": set(),
    }


def test_metrics_are_scraped_when_asked() -> None:
    values = {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}
    monitors = [
        obj for obj in charts.parse(charts.template(charts.PLATFORM, values)) if obj["kind"] == "ServiceMonitor"
    ]
    assert [monitor["metadata"]["name"] for monitor in monitors] == [
        "agentic-api",
        "agentic-gateway",
        "agentic-operator",
    ]
    assert all(monitor["metadata"]["labels"]["release"] == "prometheus" for monitor in monitors)


@pytest.mark.parametrize("program", ["agentic-api", "agentic-gateway", "agentic-operator"])
def test_a_monitor_leads_to_the_port_where_metrics_are(program: str) -> None:
    values = {"serviceMonitor": {"enabled": True}, "api": {"service": {"type": "LoadBalancer"}}}
    objects = charts.parse(charts.template(charts.PLATFORM, values))
    monitor = charts.one(objects, "ServiceMonitor", program)["spec"]
    services = [obj for obj in objects if obj["kind"] == "Service"]
    (service,) = [
        obj for obj in services if monitor["selector"]["matchLabels"].items() <= obj["metadata"]["labels"].items()
    ]
    assert service["spec"].get("type", "ClusterIP") == "ClusterIP", "no client outside the cluster reads them"
    assert service["spec"]["selector"] == {"app.kubernetes.io/name": program}
    assert [port["name"] for port in service["spec"]["ports"]] == [monitor["endpoints"][0]["port"]]
    (container,) = charts.one(objects, "Deployment", program)["spec"]["template"]["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}


def notes(name: str) -> str:
    """What a user reads after the installation."""
    with charts.values_files(charts.INSTALLED, charts.VALUES[name]) as files:
        place = ("--namespace", charts.NAMESPACE, *files)
        done = charts.helm("install", "agentic", str(charts.PLATFORM), *place, "--dry-run=client")
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def test_notes_say_how_to_go_on_and_what_is_missing() -> None:
    assert "helm test agentic -n agentic-system" in notes("defaults")
    assert "is false" not in notes("defaults")
    assert "http://agentic-api.agentic-system.svc:80\n" in notes("everything")
    assert "networkPolicy.enabled is false" in notes("minimal")
    assert "admissionPolicies.enabled is false" in notes("minimal")
