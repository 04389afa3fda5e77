"""The kind Tenant: a customer of the platform and what belongs to it; the operator, api and gateway read it."""

import re
from enum import StrEnum
from ipaddress import IPv6Interface, ip_interface
from typing import Annotated, Literal

from pydantic import Field

from agentic_crds.base import (
    NUMERIC,
    READY_COLUMNS,
    Column,
    DNSLabel,
    Model,
    Quantity,
    Resource,
    Status,
)
from agentic_crds.registry import KINDS, KindEntry
from agentic_crds.schema import CEL, DISTINCT, IMMUTABLE, map_list

NAME_LIMIT = 30
"""Longest name of a tenant: its namespaces add a dash and up to 32 characters."""
NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"


class Namespaces(Model):
    """Which namespaces the tenant has. Each is called `<prefix>-<name>`."""

    prefix: Annotated[str, Field(max_length=30, pattern=r"^([a-z]([-a-z0-9]*[a-z0-9])?)?$"), IMMUTABLE] = ""
    """What the namespaces' names start with; the tenant's own name when empty."""
    declared: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]],
        Field(min_length=1, max_length=64),
        DISTINCT,
    ] = ["default"]
    """Names of the namespaces, without the prefix. The first one is the tenant's default. A namespace whose name is
    removed is deleted when it has no Agents and ModelProviders; else it is retained as it is, until it is annotated
    agentic.io/delete=true, or they are gone, or the Tenant is deleted."""


def _is_cidr(text: str) -> bool:
    try:
        interface = ip_interface(text)
    except ValueError:
        return False
    return not (isinstance(interface, IPv6Interface) and interface.ip.ipv4_mapped)


class EgressRule(Model):
    """An address range that the tenant's pods may reach."""

    cidr: Annotated[
        str,
        Field(max_length=43, pattern=r"^[0-9a-fA-F.:]+/(0|[1-9][0-9]{0,2})$"),
        CEL("isCIDR(self)", "must be a CIDR", _is_cidr),
    ]
    """The range, for example 203.0.113.0/24."""
    ports: Annotated[list[Annotated[int, Field(ge=1, le=65535), NUMERIC]], Field(max_length=16)] = [443]
    """TCP ports inside the range."""


class OwnPolicies(StrEnum):
    """Whether a tenant may have NetworkPolicies of its own."""

    DENIED = "Denied"
    ALLOWED = "Allowed"


class Network(Model):
    """What the tenant's pods may reach beside DNS, the api and the model gateway. Everything else is denied."""

    egress: Annotated[list[EgressRule], Field(max_length=64)] = []
    """Address ranges that tools of the tenant's agents may call."""
    own_policies: OwnPolicies = OwnPolicies.DENIED
    """Whether others than the platform may make NetworkPolicies in the tenant's namespaces. Policies add up: each may
    open what the platform's deny."""


class Compute(Model):
    """Hard limits of one namespace, enforced by a ResourceQuota."""

    cpu: Quantity = "8"
    """Sum of the CPU requests of all pods."""
    memory: Quantity = "16Gi"
    """Sum of the memory requests of all pods."""
    cpu_limits: Quantity = "100"
    """Sum of the CPU limits of all pods."""
    memory_limits: Quantity = "64Gi"
    """Sum of the memory limits of all pods."""
    ephemeral_storage: Quantity = "100Gi"
    """Sum of what all pods may write to the disks of their nodes."""
    container_cpu: Quantity = "8"
    """CPU limit that one container may have at most."""
    container_memory: Quantity = "16Gi"
    """Memory limit that one container may have at most."""
    container_ephemeral_storage: Quantity = "10Gi"
    """What one container may write to the disk of its node at most."""
    pods: Annotated[int, Field(ge=0, le=100000), NUMERIC] = 100
    """Number of pods."""


Count = Annotated[int, Field(ge=0, le=1000000), NUMERIC]


BUILT_IN_OBJECTS = {"configmaps": 2000, "secrets": 1000, "services": 2000, "persistentvolumeclaims": 50}
"""Kinds of Kubernetes whose number in a namespace is limited, and how many one may have by default."""


def _other_kinds() -> list[str]:
    return [*(entry.plural for entry in KINDS.counted if entry.plural != "agents"), *BUILT_IN_OBJECTS]


OF_OTHER_KINDS = CEL(
    lambda: f"self.all(key, key in {_other_kinds()})",
    "names plurals of kinds that tenants write, other than agents",
    lambda counts: counts.keys() <= set(_other_kinds()),
)


class Quotas(Model):
    """What the tenant may use."""

    compute: Compute = Compute()
    """Compute resources of each namespace."""
    agents: Count = 1000
    """Number of Agents in each namespace."""
    definition_bytes: Quantity = "64Mi"
    """Size of all AgentRevisions and PromptVersions in the tenant's namespaces together. An Agent whose new revision
    would exceed it goes on with the one that it has."""
    max_runtime_pods: Annotated[int, Field(ge=1, le=1000), NUMERIC] = 10
    """Pods that the shared runtime of each namespace may scale to by its use of CPU. It has one pod where the cluster
    has no metrics server."""
    objects: Annotated[dict[str, Count], Field(max_length=64), OF_OTHER_KINDS] = {}
    """Number of objects of other kinds in each namespace, by the plural of the kind, for example modelproviders: 20.
    What is not named has the limit that the reference says for its kind; of Kubernetes' own kinds there are configmaps
    (2000), secrets (1000), services (2000) and persistentvolumeclaims (50)."""

    def max_objects(self, kind: KindEntry) -> int:
        """How many objects of a kind that tenants write a namespace may have."""
        return self.agents if kind.plural == "agents" else self.objects.get(kind.plural, kind.max_objects)


class Models(Model):
    """Which models the tenant may call, as `provider/model` names; `*` stands for any text."""

    allowed: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=256)] = ["*"]
    """Patterns of models that may be called."""


class AI(Model):
    """Rules for calls of models."""

    models: Models = Models()
    """Which models may be called."""


class TenantSpec(Model):
    """Desired state of a tenant."""

    display_name: Annotated[str, Field(max_length=128)] = ""
    """Name shown to people."""
    namespaces: Namespaces = Namespaces()
    """The tenant's namespaces."""
    network: Network = Network()
    """The tenant's network."""
    quotas: Quotas = Quotas()
    """The tenant's quotas."""
    ai: AI = AI()
    """The tenant's rules for models."""


class NamespaceStatus(Model):
    """State of one namespace of a tenant."""

    name: DNSLabel
    """Name of the namespace."""
    phase: Literal["Pending", "Active", "Terminating", "Conflict", "Retained"]
    """Pending until it exists, Conflict when another owner holds the name, Retained when it is in use although it is
    not declared any more."""


class QuotaStatus(Model):
    """Use of one limit, summed over the tenant's namespaces."""

    resource: Annotated[str, Field(max_length=128)]
    """Name of the resource, as in ResourceQuota."""
    used: Annotated[str, Field(max_length=32)]
    """How much is used."""
    hard: Annotated[str, Field(max_length=32)]
    """How much may be used."""


class TenantStatus(Status):
    """Observed state of a tenant."""

    default_namespace: str | None = None
    """The namespace that names without a namespace refer to."""
    namespaces: Annotated[list[NamespaceStatus], map_list("name")] = []
    """The tenant's namespaces."""
    quotas: Annotated[list[QuotaStatus], map_list("resource")] = []
    """Quota used and allowed."""


class Tenant(Resource):
    """A customer of the platform: namespaces, network, quotas and the models it may call."""

    kind_name = "Tenant"
    plural = "tenants"
    scope = "Cluster"
    short_names = ("tn",)
    columns = (
        Column(name="Namespace", json_path=".status.defaultNamespace"),
        *READY_COLUMNS,
    )
    rules = (
        CEL(
            f"size(self.metadata.name) <= {NAME_LIMIT}",
            f"a tenant's name has at most {NAME_LIMIT} characters",
            lambda tenant: len(tenant.metadata.name) <= NAME_LIMIT,
        ),
        CEL(
            f"self.metadata.name.matches('{NAME_PATTERN}')",
            "a tenant's name is a DNS label that starts with a letter",
            lambda tenant: bool(re.search(NAME_PATTERN, tenant.metadata.name)),
        ),
    )

    spec: TenantSpec = TenantSpec()
    status: TenantStatus | None = None

    @property
    def namespace_names(self) -> list[str]:
        """Full names of the tenant's namespaces, the default one first."""
        prefix = self.spec.namespaces.prefix or self.metadata.name
        return [f"{prefix}-{name}" for name in self.spec.namespaces.declared]
