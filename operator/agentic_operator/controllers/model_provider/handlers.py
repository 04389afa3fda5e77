"""The ModelProvider controller, as the engine runs it."""

from collections.abc import Iterable
from datetime import datetime

from agentic_core.cluster.kinds import NAMESPACE, ROLE, ROLE_BINDING, Object, Ref, kind_of
from agentic_core.egress import Guard
from agentic_crds import ModelProvider, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agents import PROVIDER, PROVIDER_LOOKUP, PROVIDERS_BY_NAMESPACE
from agentic_operator.controllers.model_provider.desired import desired
from agentic_operator.controllers.model_provider.observe import Observed, observe
from agentic_operator.controllers.model_provider.probe import Prober
from agentic_operator.controllers.model_provider.status import assess
from agentic_operator.controllers.tenancy import TENANT
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Assessment, Context, Controller, Wanted
from agentic_operator.engine.index import Change, Index

FINGERPRINTS = {TENANT: tenancy.spec_of, NAMESPACE: tenancy.membership_of}
"""What matters to providers of an object that they depend on."""


class ModelProviderController(Controller[ModelProvider, Observed]):
    """Gives the gateway the right to read providers' keys, and tells whether providers answer."""

    kind = PROVIDER
    children = (ROLE, ROLE_BINDING)
    lookups = (PROVIDER_LOOKUP,)

    def __init__(self, platform: Platform, guard: Guard) -> None:
        self._platform = platform
        self._tenants = tenancy.Parsed(Tenant)
        self._prober = Prober(guard)

    def parse(self, obj: Object) -> ModelProvider:
        return ModelProvider.model_validate(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        fingerprint = FINGERPRINTS.get(change.ref.kind)
        if fingerprint is None or not tenancy.matters(change, fingerprint):
            return ()
        return [
            ref
            for place in self._places(change.obj, index)
            for ref in index.by(PROVIDER, PROVIDERS_BY_NAMESPACE, place)
        ]

    def _places(self, obj: Object, index: Index) -> Iterable[str]:
        if kind_of(obj) == NAMESPACE:
            return (obj["metadata"]["name"],)
        tenant = self._tenants.read(obj)
        return tenancy.places_of(tenant, index) if tenant else ()

    async def observe(self, resource: ModelProvider, ctx: Context) -> Observed:
        return await observe(resource, ctx, self._tenants, self._prober)

    def desired(self, resource: ModelProvider, observed: Observed) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: ModelProvider, observed: Observed, now: datetime) -> Assessment:
        return assess(resource, observed, now)

    async def close(self) -> None:
        """End the probes."""
        await self._prober.close()
