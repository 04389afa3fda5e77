"""The status of a Tenant; pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from agentic_core import conditions, names
from agentic_core.conditions import Observation
from agentic_crds import Tenant, TenantStatus
from agentic_crds.tenant import NamespaceStatus, QuotaStatus
from agentic_operator.controllers.tenant.observe import Observed, Place
from agentic_operator.desired.namespace import hard
from agentic_operator.desired.quantity import format_quantity, parse_quantity
from agentic_operator.engine.controller import Assessment

SOON = 0.2
"""Seconds until a namespace that was just made is looked at again."""
RECOUNT = 6.0
"""Seconds until a quota that was counted without a limit is looked at again; that it is counted tells its watch."""


def assess(tenant: Tenant, observed: Observed, now: datetime) -> Assessment:
    """Which namespaces the tenant has, what it uses of its quota, and whether all is well."""
    generation = tenant.metadata.generation
    status = TenantStatus(
        observed_generation=generation,
        default_namespace=tenant.namespace_names[0],
        namespaces=[NamespaceStatus(name=place.name, phase=place.phase) for place in observed.places],
        quotas=list(_quotas(tenant, observed.places)),
        conditions=conditions.stamp(observations(observed), generation=generation, now=now),
    )
    return Assessment(status, requeue_after=_look_again(observed))


def _look_again(observed: Observed) -> float | None:
    if any(place.phase == "Pending" for place in observed.places):
        return SOON
    return RECOUNT if any(place.uncounted and place.used for place in observed.places) else None


def observations(observed: Observed) -> list[Observation]:
    """Whether what is declared is there, and beside it what is there without being declared."""
    kept = [place.name for place in observed.places if place.phase == "Retained"]
    retained = [conditions.true(names.NAMESPACES_RETAINED, "InUse", "; ".join(map(_retention, kept)))] if kept else []
    return [*_summary([place for place in observed.places if place.name not in kept]), *retained]


def _summary(places: Sequence[Place]) -> list[Observation]:
    """Conflicts first: somebody has to do something about them. What is on its way comes by itself."""
    conflicts = [place for place in places if place.phase == "Conflict"]
    if conflicts:
        return conditions.stalled("Conflict", "; ".join(map(_conflict, conflicts)))
    waiting = [place for place in places if place.phase != "Active"]
    if waiting:
        phases = ", ".join(f"{place.name} is {place.phase}" for place in waiting)
        return conditions.reconciling("NamespacesNotReady", f"Waiting for namespaces: {phases}")
    uncounted = [place.name for place in places if place.uncounted]
    if uncounted:  # the API server refuses agents until Kubernetes, which is slow to notice new kinds, counts them
        return conditions.reconciling(
            "QuotaNotCounted", f"Waiting for the quota of {', '.join(uncounted)} to be counted"
        )
    return conditions.ready(f"Namespaces in use: {len(places)}")


def _conflict(place: Place) -> str:
    return (
        f"Namespace {place.name} belongs to {place.owner}; delete or rename it, or annotate it with "
        "agentic.io/adopt=true to hand it over"
    )


def _retention(name: str) -> str:
    return (
        f"Namespace {name} is not declared any more but has Agents or ModelProviders, which go on working; declare it "
        f"again, delete them, or annotate it with {names.DELETE}=true to delete it with all that is in it"
    )


def _quotas(tenant: Tenant, places: Iterable[Place]) -> Iterable[QuotaStatus]:
    counted = [place for place in places if place.phase in ("Active", "Retained")]
    for resource, limit in hard(tenant.spec.quotas).items():
        used = sum((parse_quantity(place.used.get(resource, "0")) for place in counted), start=Decimal(0))
        total = parse_quantity(limit) * len(counted)
        yield QuotaStatus(resource=resource, used=format_quantity(used), hard=format_quantity(total))
