"""The controller of shared runtimes, as the engine runs it: one key for each namespace."""

from collections.abc import Iterable
from datetime import datetime

from agentic_core.cluster.kinds import DEPLOYMENT, NAMESPACE, SERVICE, Object, Ref, kind_of
from agentic_crds import Tenant
from agentic_operator.controllers import agents, tenancy
from agentic_operator.controllers.agents import AGENT, AGENT_LOOKUPS
from agentic_operator.controllers.shared_runtime.desired import desired
from agentic_operator.controllers.shared_runtime.observe import Observed, Place, observe
from agentic_operator.controllers.shared_runtime.status import assess
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Assessment, Context, Controller, Wanted
from agentic_operator.engine.index import Index


class SharedRuntimeController(Controller[Place, Observed]):
    """Makes a runtime in namespaces that have Shared agents."""

    kind = NAMESPACE
    children = (DEPLOYMENT, SERVICE)
    lookups = AGENT_LOOKUPS

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._tenants = tenancy.Parsed(Tenant)
        self._tenant_changes = tenancy.Changes(tenancy.spec_of)
        self._agent_changes = tenancy.Changes(agents.runtime_of)

    def parse(self, obj: Object) -> Place:
        return Place.parse(obj)

    def related(self, obj: Object, index: Index) -> Iterable[Ref]:
        kind = kind_of(obj)
        if kind == AGENT and self._agent_changes.matter(obj, index):
            return (NAMESPACE.ref(obj["metadata"]["namespace"]),)
        if kind == tenancy.TENANT and self._tenant_changes.matter(obj, index):
            tenant = self._tenants(obj)
            return [NAMESPACE.ref(name) for name in tenancy.places_of(tenant, index)] if tenant else ()
        return ()

    async def observe(self, resource: Place, ctx: Context) -> Observed:
        return await observe(resource, ctx, self._tenants)

    def desired(self, resource: Place, observed: Observed) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: Place, observed: Observed, now: datetime) -> Assessment:
        return assess()
