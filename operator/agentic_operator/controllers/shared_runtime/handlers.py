"""The controller of shared runtimes, as the engine runs it: one key for each namespace."""

from collections.abc import Iterable
from datetime import datetime

from agentic_core.cluster.kinds import DEPLOYMENT, NAMESPACE, SERVICE, Object, Ref
from agentic_crds import Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agents import AGENT, AGENT_LOOKUPS, BY_SHARED_RUNTIME
from agentic_operator.controllers.shared_runtime.desired import desired
from agentic_operator.controllers.shared_runtime.observe import Observed, Place, observe
from agentic_operator.controllers.shared_runtime.status import assess
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Assessment, Context, Controller, Wanted
from agentic_operator.engine.index import Change, Entry, Index


class SharedRuntimeController(Controller[Place, Observed]):
    """Makes a runtime in namespaces that have Shared agents."""

    kind = NAMESPACE
    children = (DEPLOYMENT, SERVICE)
    lookups = AGENT_LOOKUPS

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._tenants = tenancy.Parsed(Tenant)

    def parse(self, obj: Object) -> Place:
        return Place.parse(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        ref = change.ref
        if ref.kind == AGENT and ref.namespace and _needs(change.before) != _needs(change.after):
            return (NAMESPACE.ref(ref.namespace),)
        if ref.kind == tenancy.TENANT and tenancy.matters(change, tenancy.spec_of):
            tenant = self._tenants.read(change.obj)
            return [NAMESPACE.ref(name) for name in tenancy.places_of(tenant, index)] if tenant else ()
        return ()

    async def observe(self, resource: Place, ctx: Context) -> Observed:
        return await observe(resource, ctx, self._tenants)

    def desired(self, resource: Place, observed: Observed) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: Place, observed: Observed, now: datetime) -> Assessment:
        return assess()


def _needs(agent: Entry | None) -> bool:
    """Whether the agent runs in the shared runtime."""
    return agent is not None and any(lookup == BY_SHARED_RUNTIME for lookup, _ in agent.found)
