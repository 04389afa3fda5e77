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
)
from agentic_crds import Tenant
from agentic_operator.controllers.tenancy import TENANT
from agentic_operator.controllers.tenant.desired import desired
from agentic_operator.controllers.tenant.observe import Observed, observe
from agentic_operator.controllers.tenant.status import assess
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Assessment, Context, Controller, Wanted
from agentic_operator.engine.index import Index


class TenantController(Controller[Tenant, Observed]):
    """Makes the namespaces of tenants."""

    kind = TENANT
    children = (NAMESPACE, SERVICE_ACCOUNT, RESOURCE_QUOTA, LIMIT_RANGE, NETWORK_POLICY)
    needs_finalizer = True

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def parse(self, obj: Object) -> Tenant:
        return Tenant.model_validate(obj)

    def related(self, obj: Object, index: Index) -> Iterable[Ref]:
        return ()

    async def observe(self, resource: Tenant, ctx: Context) -> Observed:
        return await observe(resource, ctx)

    def desired(self, resource: Tenant, observed: Observed) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: Tenant, observed: Observed, now: datetime) -> Assessment:
        return assess(resource, observed, now)
