"""Objects as the operator makes them in a tenant's namespace, from its own builders; tests of admission vary them."""

from copy import deepcopy
from typing import Any

from agentic_core import names
from agentic_core.cluster.kinds import Object
from agentic_crds.tenant import Compute, EgressRule, Quotas
from agentic_operator.desired import access, namespace, network, runtime
from agentic_operator.engine import ownership
from tests.manifests import charts
from tests.operator.harness import PLATFORM

PLACE = "acme-default"
WHERE = {"namespace": PLACE, "tenant": "acme"}
TENANT: Object = {
    "apiVersion": "agentic.io/v1alpha1",
    "kind": "Tenant",
    "metadata": {"name": "acme", "uid": "acme-uid"},
}
AGENT: Object = {
    "apiVersion": "agentic.io/v1alpha1",
    "kind": "Agent",
    "metadata": {"name": "one", "namespace": PLACE, "uid": "one-uid"},
}
PODS = runtime.RuntimePods(
    name="agent-one",
    namespace=PLACE,
    tenant="acme",
    image="mine:1",
    agent="one",
    scale=runtime.Autoscaled(1, 3, runtime.utilization(70)),
)


def child(obj: Object, owner: Object = AGENT) -> Object:
    """The object as the operator applies it, free to be changed."""
    return deepcopy(ownership.owned(obj, owner))


def deployment() -> Object:
    """The Deployment of a Dedicated agent."""
    return child(runtime.deployment(PODS, PLATFORM))


def service() -> Object:
    """Its Service."""
    return child(runtime.service(PODS))


def binding(account: str, role: str, kind: str) -> Object:
    """A RoleBinding for a program of the platform."""
    return child(
        access.role_binding(
            f"provider-openai-{account}",
            role=role,
            kind=kind,
            account=account,
            account_namespace=charts.NAMESPACE,
            **WHERE,
        )
    )


def everything() -> list[Object]:
    """One object of each kind that the operator makes inside of a namespace, but the Role of the gateway: that it may
    only make where it has the right itself."""
    egress = [EgressRule(cidr="0.0.0.0/0"), EgressRule(cidr="::/0"), EgressRule(cidr="203.0.113.0/24")]
    of_tenant: list[Any] = [
        namespace.service_account(names.RUNTIME, **WHERE),
        namespace.resource_quota(Quotas(), **WHERE),
        namespace.limit_range(Compute(), **WHERE),
        network.default_deny(**WHERE),
        network.allow_dns(**WHERE),
        network.allow_platform(platform=charts.NAMESPACE, otlp_endpoint="http://otel.monitoring.svc:4318", **WHERE),
        network.allow_egress(egress, **WHERE),
    ]
    return [
        *(child(obj, TENANT) for obj in of_tenant),
        *(child(obj) for obj in runtime.objects(PODS, PLATFORM)),
        binding("agentic-operator", access.PROVIDER_SECRETS, "ClusterRole"),
    ]
