"""The pods of runtimes, as whole objects."""

from dataclasses import replace
from typing import Any

from agentic_core import names
from agentic_crds.agent import RESERVED_NAME
from agentic_operator.desired import runtime
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.desired.runtime import Autoscaled, RuntimePods

PLATFORM = PlatformSettings(namespace="agentic-system", runtime_image="runtime:1", run_token_keys="PEM")
SHARED = RuntimePods(name="agent-runtime", namespace="acme-default", tenant="acme", image="runtime:1")
OWN = RuntimePods(name="agent-a", namespace="acme-default", tenant="acme", image="mine:2", agent="a", scale=2)
LABELS = {
    "agentic.io/tenant": "acme",
    "app.kubernetes.io/component": "agent-runtime",
    "app.kubernetes.io/managed-by": "agentic-operator",
    "app.kubernetes.io/name": "agent-runtime",
    "app.kubernetes.io/part-of": "agentic-platform",
}
SELECTOR = {"app.kubernetes.io/component": "agent-runtime", "app.kubernetes.io/name": "agent-runtime"}
OWN_LABELS = LABELS | {"app.kubernetes.io/component": "agent-a", "agentic.io/agent": "a"}


def probe(path: str, period: int, failures: int) -> dict[str, Any]:
    """A probe."""
    get = {"path": path, "port": "http"}
    return {"httpGet": get, "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures}


CONTAINER = {
    "name": "runtime",
    "image": "runtime:1",
    "imagePullPolicy": "IfNotPresent",
    "env": [
        {"name": "AGENTIC_GATEWAY_URL", "value": "http://agentic-gateway.agentic-system.svc:8080"},
        {"name": "AGENTIC_RUN_TOKEN_KEYS", "value": "PEM"},
        {"name": "AGENTIC_NAMESPACE", "value": "acme-default"},
        {"name": "AGENTIC_LOG_LEVEL", "value": "info"},
        {"name": "AGENTIC_DRAIN_GRACE", "value": "37"},
    ],
    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
    "resources": {"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}},
    "startupProbe": probe("/healthz", 1, 120),
    "livenessProbe": probe("/healthz", 10, 3),
    "readinessProbe": probe("/readyz", 2, 2),
    "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
}


def test_the_forbidden_name_is_the_one_that_would_collide() -> None:
    assert names.dedicated_name(RESERVED_NAME) == names.RUNTIME


def test_shared_deployment() -> None:
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": SELECTOR},
    }
    assert runtime.deployment(SHARED, PLATFORM) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "agent-runtime", "namespace": "acme-default", "labels": LABELS},
        "spec": {
            "selector": {"matchLabels": SELECTOR},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 180,
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "serviceAccountName": "agent-runtime",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 60,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "runAsGroup": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "topologySpreadConstraints": [spread],
                    "containers": [CONTAINER],
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}],
                },
            },
        },
    }


def test_own_deployment_differs_in_name_image_and_replicas() -> None:
    built = runtime.deployment(OWN, PLATFORM)
    assert built["metadata"] == {"name": "agent-a", "namespace": "acme-default", "labels": OWN_LABELS}
    assert built["spec"]["replicas"] == 2
    assert built["spec"]["template"]["metadata"]["labels"] == OWN_LABELS
    pod = built["spec"]["template"]["spec"]
    assert pod["containers"] == [CONTAINER | {"image": "mine:2"}]
    assert pod["terminationGracePeriodSeconds"] == 60


def test_a_users_variable_never_replaces_one_of_the_platform() -> None:
    own = RuntimePods(
        name="agent-a", namespace="n", tenant="acme", image="i", env={"TZ": "UTC", "AGENTIC_GATEWAY_URL": "http://evil"}
    )
    (container,) = runtime.deployment(own, PLATFORM)["spec"]["template"]["spec"]["containers"]
    values = [(one["name"], one["value"]) for one in container["env"]]
    assert values[0] == ("TZ", "UTC")
    assert [value for name, value in values if name == "AGENTIC_GATEWAY_URL"] == [PLATFORM.gateway_url]


def test_service() -> None:
    assert runtime.service(SHARED) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "agent-runtime", "namespace": "acme-default", "labels": LABELS},
        "spec": {
            "type": "ClusterIP",
            "selector": SELECTOR,
            "ports": [{"name": "http", "port": 8080, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def test_autoscaler() -> None:
    target = {"type": "Utilization", "averageUtilization": 70}
    assert runtime.autoscaler(OWN, Autoscaled(1, 5, runtime.utilization(70))) == {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "agent-a", "namespace": "acme-default", "labels": OWN_LABELS},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "agent-a"},
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def test_the_shared_runtime_scales_by_what_a_pod_uses_whatever_it_requests() -> None:
    scaled = replace(SHARED, scale=Autoscaled(1, 10, runtime.average_cpu("500m")))
    pods, service, autoscaler, budget = runtime.objects(scaled, PLATFORM)
    assert "replicas" not in pods["spec"], "the autoscaler owns it"
    assert pods["spec"].items() <= runtime.deployment(SHARED, PLATFORM)["spec"].items()
    assert service == runtime.service(SHARED)
    target = {"type": "AverageValue", "averageValue": "500m"}
    assert autoscaler == {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "agent-runtime", "namespace": "acme-default", "labels": LABELS},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "agent-runtime"},
            "minReplicas": 1,
            "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
    assert budget == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "agent-runtime", "namespace": "acme-default", "labels": LABELS},
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": SELECTOR},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def test_pods_that_may_be_several_have_a_disruption_budget() -> None:
    for scale, kinds in ((None, 2), (0, 2), (1, 2), (2, 3), (Autoscaled(1, 2, runtime.utilization(70)), 4)):
        assert len(runtime.objects(replace(OWN, scale=scale), PLATFORM)) == kinds
