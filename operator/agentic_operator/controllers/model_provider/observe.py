"""All reads of the ModelProvider controller: the provider's Secret, by its exact name, and the provider itself."""

from base64 import b64decode

from agentic_core.cluster import errors
from agentic_core.cluster.kinds import SECRET
from agentic_crds import ModelProvider, Tenant
from agentic_crds.model_provider import KEY_SECRET_TYPE
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.model_provider.observed import KeyState, ObservedKey, ObservedProvider
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
    state, text = await _key(provider, ctx)
    if state not in ("NotNeeded", "Found"):
        return ObservedProvider(tenant.metadata.name, ObservedKey(state))
    target = ProbeTarget(provider.metadata.uid, provider.spec, text)
    result, probing = prober.last_result(target)
    return ObservedProvider(tenant.metadata.name, ObservedKey(state, target.key_hash or None), result, probing)


async def _key(provider: ModelProvider, ctx: ReconcileContext) -> tuple[KeyState, str | None]:
    ref = provider.spec.secret_ref
    if ref is None:
        return "NotNeeded", None
    try:
        secret = await ctx.cluster.get(SECRET.ref(ref.name, provider.metadata.namespace))
    except errors.RequestForbidden:
        return "NotPermitted", None
    if secret is None:
        return "SecretMissing", None
    if secret.get("type", KEY_SECRET_TYPE) != KEY_SECRET_TYPE:
        return "KeyUnusable", None
    value = (secret.get("data") or {}).get(ref.key)
    if value is None:
        return "KeyMissing", None
    text = _text(value)
    return ("Found", text) if text else ("KeyUnusable", None)


def _text(value: str) -> str | None:
    """The key as a header can carry it."""
    try:
        text = b64decode(value).decode("ascii").strip()
    except ValueError:
        return None
    return text if text.isprintable() and text else None
