"""What shall exist because of a Tenant; pure."""

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, Object
from agentic_crds import Tenant
from agentic_operator.controllers.tenant.observed import NamespaceState, ObservedTenant
from agentic_operator.desired import namespace, network
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.decision import Wanted


def desired(tenant: Tenant, observed: ObservedTenant, platform: PlatformSettings) -> Wanted:
    """The namespaces and what is in them. One that is not ours or is being deleted gets nothing."""
    objects: list[Object] = []
    for state in observed.namespaces:
        if state.phase != "Terminating":
            objects.append(place(tenant, state.name))
        if state.phase in ("Pending", "Active", "Retained"):
            objects += contents(tenant, state, platform)
    leaving = (NAMESPACE.ref(state.name) for state in observed.namespaces if state.phase == "Terminating")
    return Wanted(objects, keep=frozenset(leaving))


def place(tenant: Tenant, name: str) -> Object:
    """A namespace of the tenant."""
    policies = tenant.spec.network.own_policies
    return namespace.namespace(name, tenant=tenant.metadata.name, uid=tenant.metadata.uid, own_policies=policies)


def contents(tenant: Tenant, state: NamespaceState, platform: PlatformSettings) -> list[Object]:
    """What each namespace of a tenant has; what denies comes first.

    A quota to be counted again is left out: its deletion queues the tenant, which creates it again; until that one is
    counted the API server rejects what it limits.
    """
    owner, name = tenant.metadata.name, state.name
    egress = tenant.spec.network.egress
    quota = namespace.resource_quota(tenant.spec.quotas, namespace=name, tenant=owner)
    return [
        network.default_deny(namespace=name, tenant=owner),
        network.allow_dns(namespace=name, tenant=owner),
        network.allow_platform(
            namespace=name, tenant=owner, platform=platform.namespace, otlp_endpoint=platform.otlp_endpoint
        ),
        *([network.allow_egress(egress, namespace=name, tenant=owner)] if egress else []),
        *([] if state.recount else [quota]),
        namespace.limit_range(tenant.spec.quotas.compute, namespace=name, tenant=owner),
        namespace.service_account(names.RUNTIME, namespace=name, tenant=owner),
    ]
