"""All reads of the ModelProvider controller: the provider's Secret, by its exact name, and the provider itself."""

from base64 import b64decode
from dataclasses import dataclass
from typing import Literal

from agentic_core.cluster import errors
from agentic_core.cluster.kinds import SECRET
from agentic_crds import ModelProvider, Tenant
from agentic_crds.model_provider import KEY_SECRET_TYPE
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.model_provider.probe import Answer, Prober, Target
from agentic_operator.engine.controller import Context

KeyState = Literal["NotNeeded", "Found", "NotPermitted", "SecretMissing", "KeyMissing", "KeyUnusable"]


@dataclass(frozen=True)
class Key:
    """The provider's API key; the key itself stays in the probe."""

    state: KeyState
    hash: str | None = None


@dataclass(frozen=True)
class Observed:
    """What a provider needs, and how it is."""

    tenant: str | None
    key: Key
    answer: Answer | None = None
    """Whether the provider answers; None when it cannot be asked."""
    probing: bool = False
    """Whether a newer answer is on its way."""


async def observe(provider: ModelProvider, ctx: Context, tenants: tenancy.Parsed[Tenant], prober: Prober) -> Observed:
    """The provider's tenant, key and last answer."""
    tenant = tenancy.tenant_of(provider.metadata.namespace or "", ctx.index, tenants)
    if tenant is None:
        return Observed(None, Key("NotPermitted"))
    state, text = await _key(provider, ctx)
    if state not in ("NotNeeded", "Found"):
        return Observed(tenant.metadata.name, Key(state))
    target = Target(provider.metadata.uid, provider.spec, text)
    answer, probing = prober.look(target)
    return Observed(tenant.metadata.name, Key(state, target.key_hash or None), answer, probing)


async def _key(provider: ModelProvider, ctx: Context) -> tuple[KeyState, str | None]:
    ref = provider.spec.secret_ref
    if ref is None:
        return "NotNeeded", None
    try:
        secret = await ctx.cluster.get(SECRET.ref(ref.name, provider.metadata.namespace))
    except errors.Forbidden:
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
