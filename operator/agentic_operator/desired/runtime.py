"""The pods that run agents: Deployment, Service, autoscaler, disruption budget; shared and Dedicated ones."""

from dataclasses import dataclass, field
from typing import Any

from agentic_core import names
from agentic_core.cluster.kinds import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, SERVICE, Object
from agentic_core.quantity import parse_quantity
from agentic_crds.agent import SETTINGS_PREFIX, ResourceAmounts, Resources
from agentic_operator.desired import metadata
from agentic_operator.desired.namespace import DEFAULT_LIMITS
from agentic_operator.desired.platform import PlatformSettings

CONTAINER = "runtime"
GRACE_SECONDS = 60
"""How long a stopping pod may take for its runs. Kubernetes, deleting a namespace, retries only after half of the
longest grace of its pods, even when they are gone at once: ten minutes here would be five for each tenant."""
STOPPING_SECONDS = 20
"""How much of that a stopping pod keeps to interrupt the runs that are left, and to end."""
PROGRESS_SECONDS = 180
"""Seconds without progress after which a rollout has failed: a pod may take two minutes to start."""
USER = 10001
"""That of the platform's images; without one the kubelet refuses images whose user is root or a name."""
PRE_STOP_SECONDS = 3
"""Seconds until proxies have taken a stopping pod out of the Service."""
LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Autoscaled:
    """The bounds and the target of an autoscaler."""

    min_pods: int
    max_pods: int
    cpu: dict[str, Any]
    """What the use of CPU is held to, as an autoscaler spells it: `utilization` or `average_cpu`."""


def utilization(percent: int) -> dict[str, Any]:
    """Mean use of CPU as a part of what the pods request."""
    return {"type": "Utilization", "averageUtilization": percent}


def average_cpu(quantity: str) -> dict[str, Any]:
    """Mean use of CPU by a pod, whatever it requests."""
    return {"type": "AverageValue", "averageValue": quantity}


@dataclass(frozen=True)
class RuntimePods:
    """One Deployment of the agent server and what belongs to it."""

    name: str
    namespace: str
    tenant: str
    image: str
    agent: str | None = None
    """The only agent that runs in it; None for the shared runtime."""
    scale: Autoscaled | int | None = None
    """Number of pods, or how an autoscaler sets it; None for the one pod of a Deployment that names no number."""
    resources: Resources = field(default_factory=Resources)
    env: dict[str, str] = field(default_factory=dict[str, str])
    """Environment variables of the user's own."""
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    """Annotations of the Deployment."""

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the pods and of the objects around them."""
        own = {names.AGENT: self.agent} if self.agent else {}
        return metadata.labels(tenant=self.tenant, name=names.RUNTIME) | {names.COMPONENT: self.name} | own

    @property
    def selector(self) -> dict[str, str]:
        """Labels that select exactly these pods; a Deployment cannot change them later."""
        return {names.NAME: names.RUNTIME, names.COMPONENT: self.name}


def objects(runtime: RuntimePods, platform: PlatformSettings) -> list[Object]:
    """All objects of a runtime. One that may have several pods gets a disruption budget."""
    made = [deployment(runtime, platform), service(runtime)]
    if isinstance(runtime.scale, Autoscaled):
        return [*made, autoscaler(runtime, runtime.scale), disruption_budget(runtime)]
    return [*made, disruption_budget(runtime)] if (runtime.scale or 0) > 1 else made


def deployment(runtime: RuntimePods, platform: PlatformSettings) -> Object:
    """The pods of a runtime: no privileges, no credential, nothing writable but /tmp."""
    body = metadata.object_of(DEPLOYMENT, runtime.name, runtime.namespace, runtime.labels)
    if runtime.annotations:
        body["metadata"]["annotations"] = runtime.annotations
    replicas = {"replicas": runtime.scale} if isinstance(runtime.scale, int) else {}
    return body | {
        "spec": replicas
        | {
            "selector": {"matchLabels": runtime.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": PROGRESS_SECONDS,
            "template": {"metadata": {"labels": runtime.labels}, "spec": _pod(runtime, platform)},
        }
    }


def service(runtime: RuntimePods) -> Object:
    """The address of a runtime. The type is written although it is the default: on a Service that is handed over, the
    former owner's would stay."""
    body = metadata.object_of(SERVICE, runtime.name, runtime.namespace, runtime.labels)
    port = {"name": "http", "port": names.RUNTIME_PORT, "targetPort": "http", "protocol": "TCP"}
    return body | {"spec": {"type": "ClusterIP", "selector": runtime.selector, "ports": [port]}}


def autoscaler(runtime: RuntimePods, scale: Autoscaled) -> Object:
    """The number of pods by their mean use of CPU."""
    body = metadata.object_of(AUTOSCALER, runtime.name, runtime.namespace, runtime.labels)
    return body | {
        "spec": {
            "scaleTargetRef": {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.name, "name": runtime.name},
            "minReplicas": scale.min_pods,
            "maxReplicas": scale.max_pods,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": scale.cpu}}],
        }
    }


def disruption_budget(runtime: RuntimePods) -> Object:
    """Drained nodes lose one pod at a time, and never keep one that is not ready."""
    body = metadata.object_of(DISRUPTION_BUDGET, runtime.name, runtime.namespace, runtime.labels)
    selector = {"matchLabels": runtime.selector}
    return body | {"spec": {"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"}}


def _pod(runtime: RuntimePods, platform: PlatformSettings) -> dict[str, Any]:
    secrets = [{"name": name} for name in platform.image_pull_secrets]
    return ({"imagePullSecrets": secrets} if secrets else {}) | {
        "serviceAccountName": names.RUNTIME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [_spread(runtime)],
        "containers": [_container(runtime, platform)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}],
    }


def _spread(runtime: RuntimePods) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": runtime.selector},
    }


def _container(runtime: RuntimePods, platform: PlatformSettings) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": runtime.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in _environment(runtime, platform).items()],
        "ports": [{"name": "http", "containerPort": names.RUNTIME_PORT, "protocol": "TCP"}],
        "resources": _resources(runtime.resources),
        "startupProbe": _probe("/healthz", period=1, failures=120),
        "livenessProbe": _probe("/healthz", period=10, failures=3),
        "readinessProbe": _probe("/readyz", period=2, failures=2),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "securityContext": LOCKED_DOWN,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the only writable folder of the pod
    }


def _environment(runtime: RuntimePods, platform: PlatformSettings) -> dict[str, str]:
    """The user's variables come first, so that none of them replaces one of the platform's. None is a setting of the
    platform, not even in an Agent that was stored before its kind said so."""
    endpoint = {"AGENTIC_OTLP_ENDPOINT": platform.otlp_endpoint} if platform.otlp_endpoint else {}
    ours = endpoint | {
        "AGENTIC_GATEWAY_URL": platform.gateway_url,
        "AGENTIC_RUN_TOKEN_KEYS": platform.run_token_keys,
        "AGENTIC_NAMESPACE": runtime.namespace,
        "AGENTIC_LOG_LEVEL": platform.log_level,
        "AGENTIC_DRAIN_GRACE": str(GRACE_SECONDS - PRE_STOP_SECONDS - STOPPING_SECONDS),
    }
    theirs = {name: value for name, value in runtime.env.items() if not name.upper().startswith(SETTINGS_PREFIX)}
    return theirs | ours


def _resources(resources: Resources) -> dict[str, Any]:
    requests, limits = _amounts(resources.requests), _amounts(resources.limits)
    for name, amount in requests.items():  # else the default of the namespace would be a limit below the request
        if name not in limits and parse_quantity(amount) > parse_quantity(DEFAULT_LIMITS[name]):
            limits[name] = amount
    amounts = {"requests": requests, "limits": limits}
    return {kind: values for kind, values in amounts.items() if values}


def _amounts(amounts: ResourceAmounts) -> dict[str, str]:
    return amounts.model_dump(exclude_none=True)


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
