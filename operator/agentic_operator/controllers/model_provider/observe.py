"""All reads of the ModelProvider controller: the provider's Secret, by its exact name, and the provider itself."""

from agentic_core.cluster import errors
from agentic_core.cluster.kinds import SECRET
from agentic_core.provider_keys import UnusableSecret, provider_key
from agentic_crds import ModelProvider, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.model_provider.observed import ObservedKey, ObservedProvider
from agentic_operator.controllers.model_provider.probe import Prober, ProbeTarget
from agentic_operator.controllers.parsed import Parsed
from agentic_operator.engine.controller import ReconcileContext


async def observe(
    provider: ModelProvider, ctx: ReconcileContext, *, tenants: Parsed[Tenant], prober: Prober
) -> ObservedProvider:
    """The provider's tenant, key and last probe."""
    tenant = tenancy.tenant_of(provider.metadata.namespace or "", ctx.index, tenants)
    if tenant is None:
        return ObservedProvider(None, ObservedKey("NotPermitted"))
    key, text = await _key(provider, ctx)
    if key.state not in ("NotNeeded", "Found"):
        return ObservedProvider(tenant.metadata.name, key)
    target = ProbeTarget(tenant.metadata.uid, provider.metadata.uid, provider.spec, text)
    result, probing = prober.last_result(target)
    return ObservedProvider(tenant.metadata.name, ObservedKey(key.state, target.key_hash or None), result, probing)


async def _key(provider: ModelProvider, ctx: ReconcileContext) -> tuple[ObservedKey, str | None]:
    ref, namespace = provider.spec.secret_ref, provider.metadata.namespace or ""
    if ref is None:
        return ObservedKey("NotNeeded"), None
    try:
        secret = await ctx.cluster.get(SECRET.ref(ref.name, namespace))
    except errors.RequestForbidden:
        return ObservedKey("NotPermitted"), None
    if secret is None:
        return ObservedKey("SecretMissing"), None
    try:
        return ObservedKey("Found"), provider_key(secret, ref.key, namespace=namespace, name=ref.name)
    except UnusableSecret as unusable:
        return ObservedKey(unusable.reason, problem=unusable.message), None
