"""The kinds of Kubernetes objects that the platform touches, and references to single objects.

The client builds its URLs from them; the operator's index and queue use references as keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from agentic_crds import KINDS
from agentic_crds.base import API_VERSION, Resource

Object = dict[str, Any]
"""A Kubernetes object as JSON, in Kubernetes' own spelling."""
LOCAL = "local"
"""Name of the cluster that the platform itself runs in."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of the API with what is needed to address it."""

    api_version: str
    name: str
    """The kind as objects spell it, for example Deployment."""
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None) -> str:
        """The URL path of the collection: of one namespace, or of all."""
        prefix = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{prefix}{scope}/{self.plural}"

    def ref(self, name: str, namespace: str | None = None, *, cluster: str = LOCAL) -> "Ref":
        """The object of this kind called `name`."""
        return Ref(self, name, namespace if self.namespaced else None, cluster)


@dataclass(frozen=True, slots=True)
class Ref:
    """One object: its kind, name, namespace (None for a cluster-scoped kind), and the cluster that it is in."""

    kind: Kind
    name: str
    namespace: str | None = None
    cluster: str = LOCAL

    def __hash__(self) -> int:
        """References are looked up all the time; kind, name and namespace almost always differ."""
        return hash((self.kind.name, self.name, self.namespace))

    @property
    def path(self) -> str:
        """The URL path of the object, on the API server of its cluster."""
        return f"{self.kind.path(self.namespace)}/{self.name}"

    def __str__(self) -> str:
        namespace = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.name} {namespace}{self.name}" + (
            "" if self.cluster == LOCAL else f" in cluster {self.cluster}"
        )


@cache
def custom(model: type[Resource]) -> Kind:
    """The kind of one of our own resources."""
    return Kind(API_VERSION, model.kind_name, model.plural, namespaced=model.scope == "Namespaced")


def holds_metadata_only(kind: Kind) -> bool:
    """Whether watches hold only the metadata of the kind's objects."""
    ours = kind.api_version == API_VERSION
    return ours and any(entry.metadata_only for entry in KINDS if entry.name == kind.name)


NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
LIMIT_RANGE = Kind("v1", "LimitRange", "limitranges")
POD = Kind("v1", "Pod", "pods")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)

_BUILT_IN: Mapping[tuple[str, str], Kind] = {
    (kind.api_version, kind.name): kind
    for kind in (
        NAMESPACE, CONFIG_MAP, EVENT, LIMIT_RANGE, POD, RESOURCE_QUOTA, SECRET, SERVICE, SERVICE_ACCOUNT, DEPLOYMENT,
        AUTOSCALER, LEASE, NETWORK_POLICY, DISRUPTION_BUDGET, ROLE, ROLE_BINDING, CUSTOM_RESOURCE_DEFINITION,
    )
}  # fmt: skip


def kind_of(obj: Object) -> Kind:
    """The kind of an object; raises KeyError for one that neither the table above nor the registry has."""
    if obj["apiVersion"] == API_VERSION:
        return custom(KINDS[obj["kind"]].model)
    return _BUILT_IN[obj["apiVersion"], obj["kind"]]


def ref_of(obj: Object, cluster: str = LOCAL) -> Ref:
    """The reference to an object of a cluster."""
    metadata = obj["metadata"]
    return kind_of(obj).ref(metadata["name"], metadata.get("namespace"), cluster=cluster)
