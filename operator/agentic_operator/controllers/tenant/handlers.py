"""The Tenant controller, as the engine runs it."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from agentic_core import names
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
from agentic_crds import KINDS, Tenant, TenantStatus
from agentic_operator.controllers.lookups import AGENT_LOOKUPS, PROVIDER_LOOKUP
from agentic_operator.controllers.parsed import Parsed
from agentic_operator.controllers.tenancy import TENANT, TENANT_CONTROLLER
from agentic_operator.controllers.tenant.desired import desired
from agentic_operator.controllers.tenant.observe import RECOUNT_AGE, observe
from agentic_operator.controllers.tenant.observed import ObservedTenant
from agentic_operator.controllers.tenant.status import assess
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.controller import Controller, ReconcileContext, all_fields
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.index import Change, Index


class TenantController(Controller[Tenant, ObservedTenant]):
    """Makes the namespaces of tenants."""

    name = TENANT_CONTROLLER
    kind = TENANT
    conditions = frozenset({*names.SUMMARY_CONDITIONS, names.NAMESPACES_RETAINED})
    status_fields = all_fields(TenantStatus)
    children = (NAMESPACE, SERVICE_ACCOUNT, RESOURCE_QUOTA, LIMIT_RANGE, NETWORK_POLICY)
    lookups = (*AGENT_LOOKUPS, PROVIDER_LOOKUP)
    needs_finalizer = True

    def __init__(self, platform: PlatformSettings, *, recount_age: timedelta = RECOUNT_AGE) -> None:
        self._platform = platform
        self._recount_age = recount_age
        self._tenants = Parsed(Tenant)

    def parse(self, obj: Object) -> Tenant:
        return Tenant.model_validate(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        """A namespace that is not declared any more is deleted with the last agent or provider in it."""
        ref = change.ref
        if change.after or ref.namespace is None or ref.kind not in [custom(kind.model) for kind in KINDS.counted]:
            return ()
        namespace = index.entry(NAMESPACE.ref(ref.namespace))
        owner = namespace.owner.ref if namespace and namespace.owner and namespace.owner.ref.kind == TENANT else None
        tenant = self._tenants.find(owner, index) if owner else None
        return (owner,) if owner and tenant and ref.namespace not in tenant.namespace_names else ()

    async def observe(self, resource: Tenant, ctx: ReconcileContext) -> ObservedTenant:
        return await observe(resource, ctx, recount_age=self._recount_age)

    def desired(self, resource: Tenant, observed: ObservedTenant) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: Tenant, observed: ObservedTenant, now: datetime) -> Assessment:
        return assess(resource, observed, now)
