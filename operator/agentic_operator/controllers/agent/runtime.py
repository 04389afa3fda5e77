"""What a Deployment's status says about its pods; pure. The Agent's `desired` and `status` use it."""

from dataclasses import dataclass
from typing import Any

from agentic_core import names
from agentic_core.cluster.kinds import Object
from agentic_crds import Agent
from agentic_crds.agent import RuntimeMode
from agentic_operator.controllers.agent.observed import ObservedAgent


@dataclass(frozen=True)
class RuntimeState:
    """How the pods of a runtime are."""

    available: bool
    """Whether runs can be served."""
    settled: bool
    """Whether no change is under way."""
    reason: str
    message: str
    failed: bool = False
    """Whether it stays so until a user changes something."""


def runtime_name(agent: Agent) -> str:
    """The name of the Service and Deployment that the agent runs in by its spec."""
    dedicated = agent.spec.runtime.mode == RuntimeMode.DEDICATED
    return names.dedicated_name(agent.metadata.name) if dedicated else names.RUNTIME


def runtime_of(agent: Agent, observed: ObservedAgent) -> Object | None:
    """The Deployment that the agent runs in by its spec."""
    return observed.dedicated if agent.spec.runtime.mode == RuntimeMode.DEDICATED else observed.shared


def observed_state(agent: Agent, observed: ObservedAgent) -> RuntimeState:
    """The state of the runtime that the agent runs in by its spec, as runs reach it: through its Service."""
    if observed.conflict:
        return RuntimeState(False, True, names.CONFLICT, observed.conflict, failed=True)
    found = state(runtime_of(agent, observed))
    if found.available and not observed.reachable:
        return RuntimeState(False, False, "RuntimeStarting", "The Service of the runtime is being created")
    return found


def leads_to_its_pods(service: Object) -> bool:
    """Whether a Service is inside the cluster and selects the pods of the runtime of its name, and no address else."""
    spec = service["spec"]
    selector = {names.NAME: names.RUNTIME, names.COMPONENT: service["metadata"]["name"]}
    inside = spec.get("type", "ClusterIP") == "ClusterIP" and not spec.get("externalIPs")
    return bool(inside and spec.get("selector") == selector)


def state(deployment: Object | None) -> RuntimeState:
    """The state of a runtime's Deployment."""
    if deployment is None:
        return RuntimeState(False, False, "RuntimeStarting", "The runtime is being created")
    name = deployment["metadata"]["name"]
    status = deployment.get("status") or {}
    available = status.get("availableReplicas", 0) > 0
    wanted = deployment["spec"].get("replicas", 1)
    if wanted == 0:
        message = f"Deployment {name} has 0 replicas; scale it up to run the agent"
        return RuntimeState(False, True, "ScaledToZero", message, failed=True)
    if failure := _failure(status):
        return RuntimeState(available, False, failure[0], f"Deployment {name}: {failure[1]}", failed=True)
    if not available:
        message = f"No pod of Deployment {name} is ready yet; if that lasts, kubectl describe pods shows why"
        return RuntimeState(False, False, "RuntimeStarting", message)
    if _rolling(deployment, status, wanted):
        return RuntimeState(True, False, "RuntimeUpdating", f"Deployment {name} replaces its pods; the old ones serve")
    return RuntimeState(True, True, "RuntimeAvailable", f"Deployment {name} serves")


def _rolling(deployment: Object, status: dict[str, Any], wanted: int) -> bool:
    behind = status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0)
    return bool(behind or status.get("updatedReplicas", 0) < wanted)


def _failure(status: dict[str, Any]) -> tuple[str, str] | None:
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    if conditions.get("ReplicaFailure", {}).get("status") == "True":
        return "PodsRefused", str(conditions["ReplicaFailure"].get("message", "pods cannot be created"))
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return "RolloutFailed", "its new pods do not become ready; look at them with kubectl describe pods"
    return None
