"""What every namespace of a tenant has: the namespace itself, the runtime's identity, and limits of its use."""

from agentic_core import names
from agentic_core.cluster.kinds import LIMIT_RANGE, NAMESPACE, RESOURCE_QUOTA, SERVICE_ACCOUNT, Object
from agentic_core.quantity import parse_quantity
from agentic_crds import KINDS
from agentic_crds.tenant import BUILT_IN_OBJECTS, Compute, OwnPolicies, Quotas
from agentic_operator.desired import metadata

POD_SECURITY = "restricted"
"""The Pod Security Standard that pods of tenants keep."""
QUOTA = "tenant"
"""Name of the ResourceQuota and of the LimitRange."""

DEFAULT_LIMITS = {"cpu": "2", "memory": "512Mi", "ephemeral-storage": "1Gi"}
"""Limits of containers that name none. A runtime is one event loop, which uses one CPU, and threads beside it."""


def namespace(name: str, *, tenant: str, uid: str, own_policies: OwnPolicies = OwnPolicies.DENIED) -> Object:
    """A namespace of a tenant; pods that could harm the node are not let in."""
    levels = {f"pod-security.kubernetes.io/{mode}": POD_SECURITY for mode in ("enforce", "audit", "warn")}
    marks = {names.TENANT_UID: uid, names.OWN_NETWORK_POLICIES: own_policies.value}
    return metadata.object_of(NAMESPACE, name, None, metadata.labels(tenant=tenant) | marks | levels)


def service_account(name: str, *, namespace: str, tenant: str) -> Object:
    """An identity without a credential."""
    body = metadata.object_of(SERVICE_ACCOUNT, name, namespace, metadata.labels(tenant=tenant))
    return body | {"automountServiceAccountToken": False}


def resource_quota(quotas: Quotas, *, namespace: str, tenant: str) -> Object:
    """The hard limits of one namespace."""
    body = metadata.object_of(RESOURCE_QUOTA, QUOTA, namespace, metadata.labels(tenant=tenant))
    return body | {"spec": {"hard": hard(quotas)}}


def hard(quotas: Quotas) -> dict[str, str]:
    """The limits of one namespace as ResourceQuota spells them."""
    return {
        "requests.cpu": quotas.compute.cpu,
        "requests.memory": quotas.compute.memory,
        "pods": str(quotas.compute.pods),
        "limits.cpu": quotas.compute.cpu_limits,
        "limits.memory": quotas.compute.memory_limits,
        "limits.ephemeral-storage": quotas.compute.ephemeral_storage,
    } | _counts(quotas)


def _counts(quotas: Quotas) -> dict[str, str]:
    ours = {str(kind.count): str(quotas.max_objects(kind)) for kind in KINDS.counted}
    return ours | {
        f"count/{plural}": str(quotas.objects.get(plural, most)) for plural, most in BUILT_IN_OBJECTS.items()
    }


def limit_range(compute: Compute, *, namespace: str, tenant: str) -> Object:
    """What one container may have, and requests and limits of those that name none: the quota would refuse them."""
    body = metadata.object_of(LIMIT_RANGE, QUOTA, namespace, metadata.labels(tenant=tenant))
    most = {
        "cpu": compute.container_cpu,
        "memory": compute.container_memory,
        "ephemeral-storage": compute.container_ephemeral_storage,
    }
    limit = {
        "type": "Container",
        "max": most,
        "default": _within(DEFAULT_LIMITS, most),
        "defaultRequest": _within({"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"}, most),
    }
    return body | {"spec": {"limits": [limit]}}


def _within(amounts: dict[str, str], most: dict[str, str]) -> dict[str, str]:
    """The amounts, none above the most that a container may have: the API server refuses such defaults."""
    return {name: min(amount, most[name], key=parse_quantity) for name, amount in amounts.items()}
