"""What shall exist because of a Tenant; pure."""

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, Object
from agentic_crds import Tenant
from agentic_operator.controllers.tenant.observe import Observed, Place
from agentic_operator.desired import namespace, network
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Wanted


def desired(tenant: Tenant, observed: Observed, platform: Platform) -> Wanted:
    """The namespaces and what is in them. One that is not ours or is going away gets nothing."""
    objects: list[Object] = []
    for place in observed.places:
        if place.phase != "Terminating":
            objects.append(namespace.namespace(place.name, tenant=tenant.metadata.name))
        if place.phase in ("Pending", "Active", "Retained"):
            objects += contents(tenant, place, platform)
    leaving = (NAMESPACE.ref(place.name) for place in observed.places if place.phase == "Terminating")
    return Wanted(objects, keep=frozenset(leaving))


def contents(tenant: Tenant, place: Place, platform: Platform) -> list[Object]:
    """What each namespace of a tenant has; what denies comes first.

    A quota to be counted anew is left out: its deletion brings it back at once, and until that one is counted the API
    server refuses what it is about.
    """
    owner, name = tenant.metadata.name, place.name
    egress = tenant.spec.network.egress
    quota = namespace.resource_quota(tenant.spec.quotas, namespace=name, tenant=owner)
    return [
        network.default_deny(namespace=name, tenant=owner),
        network.allow_dns(namespace=name, tenant=owner),
        network.allow_platform(
            namespace=name, tenant=owner, platform=platform.namespace, otlp_endpoint=platform.otlp_endpoint
        ),
        *([network.allow_egress(egress, namespace=name, tenant=owner)] if egress else []),
        *([] if place.recount else [quota]),
        namespace.limit_range(namespace=name, tenant=owner),
        namespace.service_account(names.RUNTIME, namespace=name, tenant=owner),
    ]
