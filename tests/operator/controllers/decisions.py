"""What the tests of pure decisions share: a moment, and short forms of objects and statuses."""

from datetime import UTC, datetime
from typing import Any

from agentic_core.cluster.kinds import Object, ref_of
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.decision import Assessment, Wanted

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLATFORM = PlatformSettings(
    namespace="agentic-system", runtime_image="runtime:1", run_token_keys="PEM", installed_tools=frozenset({"clock"})
)


def shown(assessment: Assessment) -> dict[str, Any]:
    """The status as it is written."""
    assert assessment.status
    return assessment.status.model_dump(mode="json", by_alias=True, exclude_none=True)


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    """A condition of generation 3, as it is written."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 3,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


def listed(wanted: Wanted) -> list[str]:
    """The wanted objects in their order."""
    return [str(ref_of(obj)) for obj in wanted.objects]


def deployment(name: str, **status: Any) -> Object:
    """A Deployment with this status."""
    selector = {"matchLabels": {"app": name}}
    metadata = {"name": name, "namespace": "acme-default", "generation": 1, "uid": "d"}
    head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    return head | {"spec": {"replicas": 1, "selector": selector}, "status": status}


AVAILABLE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
