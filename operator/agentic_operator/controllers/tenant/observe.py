"""All reads of the Tenant controller; `handlers` calls it."""

from datetime import UTC, datetime, timedelta

from agentic_core import names
from agentic_core.cluster.kinds import NAMESPACE, RESOURCE_QUOTA, Object, custom
from agentic_crds import KINDS, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.lookups import AGENT, BY_NAMESPACE, PROVIDER, PROVIDERS_BY_NAMESPACE
from agentic_operator.controllers.tenant.observed import NamespaceState, ObservedTenant
from agentic_operator.desired.namespace import QUOTA, hard
from agentic_operator.engine import ownership
from agentic_operator.engine.controller import ReconcileContext

RECOUNT_AGE = timedelta(seconds=5)
"""Minimum age of a quota that is created again."""


async def observe(tenant: Tenant, ctx: ReconcileContext, *, recount_age: timedelta = RECOUNT_AGE) -> ObservedTenant:
    """The tenant's namespaces and what is used in them. A quota that is older than `recount_age` and was counted
    without some of its limits is to be created again."""
    recount_before = datetime.now(UTC) - recount_age
    declared = [await _state(name, tenant, ctx, recount_before=recount_before) for name in tenant.namespace_names]
    others = tenancy.namespaces_of(tenant, ctx.index)[len(declared) :]
    kept = [name for name in others if await _stays(name, tenant.metadata.uid, ctx)]
    return ObservedTenant((*declared, *[_undeclared(name, tenant, ctx) for name in kept]))


def _undeclared(name: str, tenant: Tenant, ctx: ReconcileContext) -> NamespaceState:
    obj = ctx.index.get(NAMESPACE.ref(name))
    if obj is not None and ownership.of_predecessor(obj, tenant.metadata.uid):
        return NamespaceState(name, "Conflict", _predecessor(tenant))
    quota = ctx.index.get(RESOURCE_QUOTA.ref(QUOTA, name)) or {}
    return NamespaceState(name, "Retained", used=quota.get("status", {}).get("used") or {})


async def _stays(name: str, uid: str, ctx: ReconcileContext) -> bool:
    """Whether a namespace that is not declared any more is kept: no user allowed its deletion, and agents or providers
    are in it, or it is an earlier Tenant's. The API server is read before it counts as empty, since a deletion cannot
    be taken back."""
    metadata = (ctx.index.get(NAMESPACE.ref(name)) or {}).get("metadata", {})
    if metadata.get("deletionTimestamp") or (metadata.get("annotations") or {}).get(names.DELETE) == "true":
        return False
    if metadata and ownership.of_predecessor({"metadata": metadata}, uid):
        return True
    if ctx.index.any(AGENT, BY_NAMESPACE, name) or ctx.index.any(PROVIDER, PROVIDERS_BY_NAMESPACE, name):
        return True
    return any([await ctx.cluster.list(custom(kind.model), name) for kind in KINDS.counted])


async def _state(name: str, tenant: Tenant, ctx: ReconcileContext, *, recount_before: datetime) -> NamespaceState:
    """The index has the namespaces that the platform made; the API server has those of others, and their managers."""
    ref = NAMESPACE.ref(name)
    obj = ctx.index.get(ref)
    if obj is None or _foreign_owner(obj, tenant):
        obj = await ctx.cluster.get(ref, metadata_only=True)
    if obj is None:
        return NamespaceState(name)
    foreign = _foreign_owner(obj, tenant)
    if obj["metadata"].get("deletionTimestamp") and foreign in ("", _predecessor(tenant)):
        return NamespaceState(name, "Terminating")
    if foreign:
        return NamespaceState(name, "Conflict", foreign)
    if ctx.index.entry(ref) is None:
        return NamespaceState(name)
    return _counted(name, ctx.index.get(RESOURCE_QUOTA.ref(QUOTA, name)), tenant=tenant, recount_before=recount_before)


def _counted(name: str, quota: Object | None, *, tenant: Tenant, recount_before: datetime) -> NamespaceState:
    if quota is None:
        return NamespaceState(name, "Active", uncounted=True)
    status = quota.get("status", {})
    used, wanted = status.get("used") or {}, hard(tenant.spec.quotas).keys()
    if wanted <= used.keys():
        return NamespaceState(name, "Active", used=used)
    if not wanted <= (status.get("hard") or {}).keys():  # its limits have changed, so that it will be counted again
        return NamespaceState(name, "Active", used=used, uncounted=True)
    created = datetime.fromisoformat(quota["metadata"]["creationTimestamp"])
    return NamespaceState(name, "Active", used=used, uncounted=True, recount=bool(used) and created < recount_before)


def _predecessor(tenant: Tenant) -> str:
    return f"an earlier Tenant {tenant.metadata.name}, which was deleted"


def _foreign_owner(namespace: Object, tenant: Tenant) -> str:
    if ownership.is_ours(namespace, tenant.manifest()) or ownership.may_adopt(namespace):
        return ""
    if ownership.of_predecessor(namespace, tenant.metadata.uid):
        return _predecessor(tenant)
    labels = namespace["metadata"].get("labels") or {}
    kind, name = labels.get(names.OWNER_KIND), labels.get(names.OWNER_NAME)
    return f"{kind} {name}" if kind and name else "another owner"
