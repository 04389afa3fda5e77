"""The status of a Tenant; pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from agentic_core import conditions, names
from agentic_core.conditions import Observation
from agentic_core.quantity import format_quantity, parse_quantity
from agentic_crds import KINDS, Tenant, TenantStatus
from agentic_crds.tenant import NamespaceStatus, QuotaStatus
from agentic_operator.controllers.tenant.observed import NamespaceState, ObservedTenant
from agentic_operator.desired.namespace import hard
from agentic_operator.engine.decision import Assessment

SOON = 0.2
"""Seconds until a namespace that was just created is read again."""
RECOUNT = 6.0
"""Seconds until a quota that was counted without a limit is read again; its watch reports when it is counted."""


def assess(tenant: Tenant, observed: ObservedTenant, now: datetime) -> Assessment:
    """Which namespaces the tenant has, what it uses of its quota, and whether all is well."""
    generation = tenant.metadata.generation
    status = TenantStatus(
        observed_generation=generation,
        default_namespace=tenant.namespace_names[0],
        namespaces=[NamespaceStatus(name=state.name, phase=state.phase) for state in observed.namespaces],
        quotas=list(_quotas(tenant, observed.namespaces)),
        conditions=conditions.stamp(observations(observed), generation=generation, now=now),
    )
    return Assessment(status, requeue_after=_requeue_after(observed))


def _requeue_after(observed: ObservedTenant) -> float | None:
    if any(state.phase == "Pending" for state in observed.namespaces):
        return SOON
    return RECOUNT if any(state.uncounted and state.used for state in observed.namespaces) else None


def observations(observed: ObservedTenant) -> list[Observation]:
    """Whether what is declared exists, and what exists without being declared."""
    kept = [state.name for state in observed.namespaces if state.phase == "Retained"]
    retained = [conditions.true(names.NAMESPACES_RETAINED, "InUse", "; ".join(map(_retention, kept)))] if kept else []
    return [*_summary([state for state in observed.namespaces if state.name not in kept]), *retained]


def _summary(namespaces: Sequence[NamespaceState]) -> list[Observation]:
    """Conflicts first: a user has to resolve them. Everything else comes by itself."""
    conflicts = [state for state in namespaces if state.phase == "Conflict"]
    if conflicts:
        return conditions.stalled("Conflict", "; ".join(map(_conflict, conflicts)))
    waiting = [state for state in namespaces if state.phase != "Active"]
    if waiting:
        phases = ", ".join(f"{state.name} is {state.phase}" for state in waiting)
        return conditions.reconciling("NamespacesNotReady", f"Waiting for namespaces: {phases}")
    uncounted = [state.name for state in namespaces if state.uncounted]
    if uncounted:  # the API server rejects agents until the quota controller has discovered the kind
        return conditions.reconciling(
            "QuotaNotCounted", f"Waiting for the quota of {', '.join(uncounted)} to be counted"
        )
    return conditions.ready(f"Namespaces in use: {len(namespaces)}")


def _conflict(state: NamespaceState) -> str:
    return (
        f"Namespace {state.name} belongs to {state.owner}; delete or rename it, or annotate it with "
        "agentic.io/adopt=true to hand it over"
    )


def _retention(name: str) -> str:
    kinds = " or ".join(kind.name for kind in KINDS.counted)
    return (
        f"Namespace {name} is not declared any more but has objects of kind {kinds}, which go on working; declare it "
        f"again, delete them, or annotate it with {names.DELETE}=true to delete it with all that is in it"
    )


def _quotas(tenant: Tenant, namespaces: Iterable[NamespaceState]) -> Iterable[QuotaStatus]:
    counted = [state for state in namespaces if state.phase in ("Active", "Retained")]
    for resource, limit in hard(tenant.spec.quotas).items():
        used = sum((parse_quantity(state.used.get(resource, "0")) for state in counted), start=Decimal(0))
        total = parse_quantity(limit) * len(counted)
        yield QuotaStatus(resource=resource, used=format_quantity(used), hard=format_quantity(total))
