"""What every namespace of a tenant has: the namespace itself, the runtime's identity, and limits of its use."""

from agentic_core import names
from agentic_core.cluster.kinds import LIMIT_RANGE, NAMESPACE, RESOURCE_QUOTA, SERVICE_ACCOUNT, Object
from agentic_crds import KINDS
from agentic_crds.tenant import OwnPolicies, Quotas
from agentic_operator.desired import metadata

POD_SECURITY = "restricted"
"""The Pod Security Standard that pods of tenants keep."""
QUOTA = "tenant"
"""Name of the ResourceQuota and of the LimitRange."""


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
    } | {str(kind.count): str(quotas.max_objects(kind)) for kind in KINDS.counted}


def limit_range(*, namespace: str, tenant: str) -> Object:
    """Requests and limits of containers that name none: the quota would refuse them otherwise."""
    body = metadata.object_of(LIMIT_RANGE, QUOTA, namespace, metadata.labels(tenant=tenant))
    limit = {
        "type": "Container",
        "default": {"memory": "512Mi"},
        "defaultRequest": {"cpu": "50m", "memory": "128Mi"},
    }
    return body | {"spec": {"limits": [limit]}}
