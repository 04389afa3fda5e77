"""All reads of the Tenant controller; `handlers` calls it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, RESOURCE_QUOTA, Object, custom
from agentic_crds import KINDS, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agents import AGENT, BY_NAMESPACE, PROVIDER, PROVIDERS_BY_NAMESPACE
from agentic_operator.desired.namespace import QUOTA, hard
from agentic_operator.engine import ownership
from agentic_operator.engine.controller import Context

PATIENCE = timedelta(seconds=5)
"""How old a quota is, at least, when it is made anew."""
Phase = Literal["Pending", "Active", "Terminating", "Conflict", "Retained"]


@dataclass(frozen=True)
class Place:
    """A namespace of the tenant as it is."""

    name: str
    phase: Phase = "Pending"
    owner: str = ""
    """Whose the namespace is, when it is not ours."""
    used: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its ResourceQuota counts."""
    uncounted: bool = False
    """Whether Kubernetes has not yet counted what a limit of ours is about, and so refuses all of it."""
    recount: bool = False
    """Whether it counted without some limit, not having noticed that the kind exists. It looks at a quota when it is
    made or its limits change, and else each five minutes."""


@dataclass(frozen=True)
class Observed:
    """The namespaces of the tenant, in its order, then those that are retained."""

    places: tuple[Place, ...]


async def observe(tenant: Tenant, ctx: Context) -> Observed:
    """The tenant's namespaces and what is used in them."""
    declared = [await _place(name, tenant, ctx) for name in tenant.namespace_names]
    others = tenancy.places_of(tenant, ctx.index)[len(declared) :]
    return Observed((*declared, *[_retained(name, tenant, ctx) for name in others if await _stays(name, ctx)]))


def _retained(name: str, tenant: Tenant, ctx: Context) -> Place:
    counted = _counted(name, ctx.index.get(RESOURCE_QUOTA.ref(QUOTA, name)), tenant)
    return Place(name, "Retained", used=counted.used)


async def _stays(name: str, ctx: Context) -> bool:
    """Whether a namespace that is not declared any more is kept: nobody allowed its end, and agents or providers are
    in it. That there are none says the API server, since a deletion cannot be taken back."""
    metadata = (ctx.index.get(NAMESPACE.ref(name)) or {}).get("metadata", {})
    if metadata.get("deletionTimestamp") or (metadata.get("annotations") or {}).get(names.DELETE) == "true":
        return False
    if ctx.index.any(AGENT, BY_NAMESPACE, name) or ctx.index.any(PROVIDER, PROVIDERS_BY_NAMESPACE, name):
        return True
    return any([await ctx.cluster.list(custom(kind.model), name) for kind in KINDS.counted])


async def _place(name: str, tenant: Tenant, ctx: Context) -> Place:
    """The index knows the namespaces that the platform made; the API server those of others, and who wrote them."""
    ref = NAMESPACE.ref(name)
    obj = ctx.index.get(ref)
    if obj is None or _foreign_owner(obj, tenant):
        obj = await ctx.cluster.get(ref, metadata_only=True)
    if obj is None:
        return Place(name)
    if owner := _foreign_owner(obj, tenant):
        return Place(name, "Conflict", owner)
    if obj["metadata"].get("deletionTimestamp"):
        return Place(name, "Terminating")
    if ctx.index.entry(ref) is None:
        return Place(name)
    return _counted(name, ctx.index.get(RESOURCE_QUOTA.ref(QUOTA, name)), tenant)


def _counted(name: str, quota: Object | None, tenant: Tenant) -> Place:
    if quota is None:
        return Place(name, "Active", uncounted=True)
    status = quota.get("status", {})
    used, wanted = status.get("used") or {}, hard(tenant.spec.quotas).keys()
    if wanted <= used.keys():
        return Place(name, "Active", used=used)
    if not wanted <= (status.get("hard") or {}).keys():  # it will be looked at: its limits have changed since
        return Place(name, "Active", used=used, uncounted=True)
    age = datetime.now(UTC) - datetime.fromisoformat(quota["metadata"]["creationTimestamp"])
    return Place(name, "Active", used=used, uncounted=True, recount=bool(used) and age > PATIENCE)


def _foreign_owner(namespace: Object, tenant: Tenant) -> str:
    if ownership.is_ours(namespace, tenant.manifest()) or ownership.may_adopt(namespace):
        return ""
    labels = namespace["metadata"].get("labels") or {}
    kind, name = labels.get(names.OWNER_KIND), labels.get(names.OWNER_NAME)
    return f"{kind} {name}" if kind and name else "somebody else"
