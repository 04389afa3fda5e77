"""The Tenant controller, as the engine runs it."""

from collections.abc import Iterable
from datetime import datetime

from agentic_core.cluster.kinds import (
    LIMIT_RANGE,
    NAMESPACE,
    NETWORK_POLICY,
    RESOURCE_QUOTA,
    SERVICE_ACCOUNT,
    Object,
    Ref,
    custom,
)
from agentic_crds import KINDS, Tenant
from agentic_operator.controllers.agents import AGENT_LOOKUPS, PROVIDER_LOOKUP
from agentic_operator.controllers.tenancy import TENANT, Parsed
from agentic_operator.controllers.tenant.desired import desired
from agentic_operator.controllers.tenant.observe import Observed, observe
from agentic_operator.controllers.tenant.status import assess
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Assessment, Context, Controller, Wanted
from agentic_operator.engine.index import Change, Index


class TenantController(Controller[Tenant, Observed]):
    """Makes the namespaces of tenants."""

    kind = TENANT
    children = (NAMESPACE, SERVICE_ACCOUNT, RESOURCE_QUOTA, LIMIT_RANGE, NETWORK_POLICY)
    lookups = (*AGENT_LOOKUPS, PROVIDER_LOOKUP)
    needs_finalizer = True

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._tenants = Parsed(Tenant)

    def parse(self, obj: Object) -> Tenant:
        return Tenant.model_validate(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        """A namespace that is not declared any more goes with the last agent or provider in it."""
        ref = change.ref
        if change.after or ref.namespace is None or ref.kind not in [custom(kind.model) for kind in KINDS.counted]:
            return ()
        place = index.entry(NAMESPACE.ref(ref.namespace))
        owner = place.owner if place and place.owner and place.owner.kind == TENANT else None
        tenant = self._tenants.find(owner, index) if owner else None
        return (owner,) if owner and tenant and ref.namespace not in tenant.namespace_names else ()

    async def observe(self, resource: Tenant, ctx: Context) -> Observed:
        return await observe(resource, ctx)

    def desired(self, resource: Tenant, observed: Observed) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: Tenant, observed: Observed, now: datetime) -> Assessment:
        return assess(resource, observed, now)
