"""The controller of shared runtimes: the namespace of a tenant gets one when it has Shared agents, one key a namespace.

It is small enough for one module; `desired` is pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from agentic_core import names
from agentic_core.cluster.kinds import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, NAMESPACE, SERVICE, Object, Ref
from agentic_crds import Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.lookups import AGENT, AGENT_LOOKUPS, BY_SHARED_RUNTIME
from agentic_operator.controllers.parsed import Parsed
from agentic_operator.desired import runtime
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.controller import Controller, ReconcileContext
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.index import Change, Index, IndexEntry

METRICS_API = "metrics.k8s.io/v1beta1"
"""What an autoscaler reads the use of CPU from; a cluster has it when a metrics server is installed."""
BUSY_CPU = "500m"
"""Mean use of CPU by a pod above which another one is started. A pod runs one event loop, which uses one CPU at most;
beyond half of it, runs wait for each other."""


@dataclass(frozen=True)
class RuntimeNamespace:
    """A namespace that may have a shared runtime."""

    name: str
    leaving: bool

    @classmethod
    def parse(cls, obj: Object) -> "RuntimeNamespace":
        """The part of a Namespace object that matters."""
        metadata = obj["metadata"]
        return cls(metadata["name"], bool(metadata.get("deletionTimestamp")))


@dataclass(frozen=True)
class ObservedRuntime:
    """The tenant of the namespace, whether an agent in it runs in the shared runtime, and how far it may scale."""

    tenant: str | None
    needed: bool
    max_pods: int = 1
    metrics: bool = False
    """Whether the cluster has the metrics that an autoscaler reads."""
    scaled_back: bool = False
    """Whether its Deployment has another number of pods than one, or had before it was scaled back."""


class SharedRuntimeController(Controller[RuntimeNamespace, ObservedRuntime]):
    """Makes a runtime in namespaces that have Shared agents."""

    name = "shared-runtime"
    kind = NAMESPACE
    children = (DEPLOYMENT, SERVICE, AUTOSCALER, DISRUPTION_BUDGET)
    lookups = AGENT_LOOKUPS
    optional_apis = (METRICS_API,)

    def __init__(self, platform: PlatformSettings) -> None:
        self._platform = platform
        self._tenants = Parsed(Tenant)

    def parse(self, obj: Object) -> RuntimeNamespace:
        return RuntimeNamespace.parse(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        ref = change.ref
        if ref.kind == AGENT and ref.namespace and _needs(change.before) != _needs(change.after):
            return (NAMESPACE.ref(ref.namespace),)
        if ref.kind == tenancy.TENANT and change.matters(tenancy.spec_of):
            tenant = self._tenants.read(change.obj)
            return [NAMESPACE.ref(name) for name in tenancy.namespaces_of(tenant, index)] if tenant else ()
        return ()

    async def observe(self, resource: RuntimeNamespace, ctx: ReconcileContext) -> ObservedRuntime:
        tenant = tenancy.tenant_of(resource.name, ctx.index, self._tenants)
        if tenant is None:
            return ObservedRuntime(None, needed=False)
        return ObservedRuntime(
            tenant.metadata.name,
            needed=ctx.index.any(AGENT, BY_SHARED_RUNTIME, resource.name),
            max_pods=tenant.spec.quotas.max_runtime_pods,
            metrics=ctx.apis.serves(METRICS_API),
            scaled_back=_is_scaled(ctx.index.get(DEPLOYMENT.ref(names.RUNTIME, resource.name))),
        )

    def desired(self, resource: RuntimeNamespace, observed: ObservedRuntime) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: RuntimeNamespace, observed: ObservedRuntime, now: datetime) -> Assessment:
        """A Namespace's status belongs to Kubernetes; the agents report how their runtime is."""
        return Assessment(status=None)


def desired(namespace: RuntimeNamespace, observed: ObservedRuntime, platform: PlatformSettings) -> Wanted:
    """The runtime, from the first Shared agent to the last one. It scales where the cluster has metrics."""
    if namespace.leaving or not observed.tenant or not observed.needed:
        return Wanted()
    shared = runtime.RuntimePods(
        name=names.RUNTIME, namespace=namespace.name, tenant=observed.tenant, image=platform.runtime_image
    )
    return Wanted(runtime.objects(_scaled(shared, observed), platform))


def _scaled(shared: runtime.RuntimePods, observed: ObservedRuntime) -> runtime.RuntimePods:
    """With its number of pods: by an autoscaler, or one. The one is written only where there were others: writing it
    everywhere would change all Deployments at an upgrade, and with them the status of all their agents."""
    if observed.metrics and observed.max_pods > 1:
        cpu = runtime.average_cpu(BUSY_CPU)
        return replace(shared, scale=runtime.Autoscaled(1, observed.max_pods, cpu))
    return replace(shared, scale=1, annotations={names.SCALED_BACK: "true"}) if observed.scaled_back else shared


def _is_scaled(deployment: Object | None) -> bool:
    if deployment is None:
        return False
    annotations = deployment["metadata"].get("annotations") or {}
    return bool(deployment["spec"].get("replicas", 1) != 1 or names.SCALED_BACK in annotations)


def _needs(agent: IndexEntry | None) -> bool:
    """Whether the agent runs in the shared runtime."""
    return agent is not None and any(lookup == BY_SHARED_RUNTIME for lookup, _ in agent.found)
