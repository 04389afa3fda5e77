"""The ModelProvider controller, as the engine runs it."""

from collections.abc import Iterable
from datetime import datetime

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, ROLE, ROLE_BINDING, Object, Ref, kind_of
from agentic_core.egress import Guard
from agentic_crds import ModelProvider, ModelProviderStatus, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.lookups import PROVIDER, PROVIDER_LOOKUP, PROVIDERS_BY_NAMESPACE
from agentic_operator.controllers.model_provider.desired import desired
from agentic_operator.controllers.model_provider.observe import observe
from agentic_operator.controllers.model_provider.observed import ObservedProvider
from agentic_operator.controllers.model_provider.probe import Prober
from agentic_operator.controllers.model_provider.status import assess
from agentic_operator.controllers.parsed import Parsed
from agentic_operator.controllers.tenancy import TENANT
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.controller import Controller, ReconcileContext, all_fields
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.index import Change, Index

FINGERPRINTS = {TENANT: tenancy.spec_of, NAMESPACE: tenancy.membership_of}
"""What matters to providers of an object that they depend on."""


class ModelProviderController(Controller[ModelProvider, ObservedProvider]):
    """Gives the gateway the right to read providers' keys, and reports whether providers respond."""

    name = "model-provider"
    kind = PROVIDER
    conditions = frozenset({*names.SUMMARY_CONDITIONS, names.REACHABLE})
    status_fields = all_fields(ModelProviderStatus)
    children = (ROLE, ROLE_BINDING)
    lookups = (PROVIDER_LOOKUP,)

    def __init__(self, platform: PlatformSettings, guard: Guard) -> None:
        self._platform = platform
        self._tenants = Parsed(Tenant)
        self._prober = Prober(guard)

    def parse(self, obj: Object) -> ModelProvider:
        return ModelProvider.model_validate(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        fingerprint = FINGERPRINTS.get(change.ref.kind)
        if fingerprint is None or not change.matters(fingerprint):
            return ()
        return [
            ref
            for namespace in self._namespaces(change.obj, index)
            for ref in index.by(PROVIDER, PROVIDERS_BY_NAMESPACE, namespace)
        ]

    def _namespaces(self, obj: Object, index: Index) -> Iterable[str]:
        if kind_of(obj) == NAMESPACE:
            return (obj["metadata"]["name"],)
        tenant = self._tenants.read(obj)
        return tenancy.namespaces_of(tenant, index) if tenant else ()

    async def observe(self, resource: ModelProvider, ctx: ReconcileContext) -> ObservedProvider:
        return await observe(resource, ctx, tenants=self._tenants, prober=self._prober)

    def desired(self, resource: ModelProvider, observed: ObservedProvider) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: ModelProvider, observed: ObservedProvider, now: datetime) -> Assessment:
        return assess(resource, observed, now)

    async def close(self) -> None:
        """End the probes."""
        await self._prober.close()
