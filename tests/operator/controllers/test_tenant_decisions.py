"""What shall exist because of a Tenant, and what its status says; pure."""

import pytest

from agentic_core.cluster.kinds import NAMESPACE
from agentic_crds import KINDS, Tenant
from agentic_operator.controllers.tenant import observe
from agentic_operator.controllers.tenant.desired import desired
from agentic_operator.controllers.tenant.observed import NamespaceState, ObservedTenant
from agentic_operator.controllers.tenant.status import RECOUNT, SOON, assess, observations
from agentic_operator.desired import namespace
from tests.crds.gadget import GADGET, RECORD
from tests.operator.controllers.decisions import NOW, PLATFORM, condition, listed, shown

TENANT = Tenant.model_validate(
    {"metadata": {"name": "acme", "uid": "u1", "generation": 3}, "spec": {"namespaces": {"declared": ["a", "b"]}}}
)


def contents(ns: str) -> list[str]:
    """What a namespace has, in the order in which it is made."""
    policies = [f"NetworkPolicy {ns}/{name}" for name in ("default-deny", "allow-dns", "allow-platform")]
    limits = [f"ResourceQuota {ns}/tenant", f"LimitRange {ns}/tenant"]
    return [f"Namespace {ns}", *policies, *limits, f"ServiceAccount {ns}/agent-runtime"]


def test_each_namespace_gets_what_its_phase_allows() -> None:
    states = (
        NamespaceState("acme-a", "Pending"),
        NamespaceState("acme-b", "Active"),
        NamespaceState("acme-c", "Conflict", "another owner"),
        NamespaceState("acme-d", "Terminating"),
        NamespaceState("acme-e", "Retained"),
    )
    wanted = desired(TENANT, ObservedTenant(states), PLATFORM)
    assert listed(wanted) == [
        *contents("acme-a"),
        *contents("acme-b"),
        "Namespace acme-c",
        *contents("acme-e"),
    ]
    assert wanted.keep == {NAMESPACE.ref("acme-d")}
    assert wanted.objects[0] == namespace.namespace("acme-a", tenant="acme", uid="u1")


def test_a_quota_to_be_counted_anew_is_left_out() -> None:
    wanted = desired(
        TENANT, ObservedTenant((NamespaceState("acme-a", "Active", uncounted=True, recount=True),)), PLATFORM
    )
    assert listed(wanted) == [one for one in contents("acme-a") if "ResourceQuota" not in one]


@pytest.mark.parametrize("counted", [False, True])
def test_a_quota_whose_limits_have_changed_is_not_made_anew_but_one_that_was_counted_without_them_is(
    counted: bool,
) -> None:
    """As after an upgrade that counts more kinds."""
    limits = namespace.hard(TENANT.spec.quotas)
    older = {name: limit for name, limit in limits.items() if "modelproviders" not in name}
    status = {"hard": limits if counted else older, "used": dict.fromkeys(older, "0")}
    quota = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"hard": limits}, "status": status}
    place = observe._counted("acme-a", quota, tenant=TENANT, recount_before=NOW)
    assert (place.uncounted, place.recount) == (True, counted)


def test_the_status_of_a_tenant_that_is_well() -> None:
    used = {"requests.cpu": "500m", "requests.memory": "1Gi", "pods": "2", "count/agents.agentic.io": "3"}
    states = (NamespaceState("acme-a", "Active", used=used), NamespaceState("acme-b", "Active", used=used))
    assessment = assess(TENANT, ObservedTenant(states), NOW)
    assert assessment.requeue_after is None
    assert shown(assessment) == {
        "observedGeneration": 3,
        "defaultNamespace": "acme-a",
        "namespaces": [{"name": "acme-a", "phase": "Active"}, {"name": "acme-b", "phase": "Active"}],
        "quotas": [
            {"resource": "requests.cpu", "used": "1", "hard": "16"},
            {"resource": "requests.memory", "used": "2Gi", "hard": "32Gi"},
            {"resource": "pods", "used": "4", "hard": "200"},
            {"resource": "limits.cpu", "used": "0", "hard": "200"},
            {"resource": "limits.memory", "used": "0", "hard": "128Gi"},
            {"resource": "limits.ephemeral-storage", "used": "0", "hard": "200Gi"},
            {"resource": "count/modelproviders.agentic.io", "used": "0", "hard": "2000"},
            {"resource": "count/agents.agentic.io", "used": "6", "hard": "2000"},
            {"resource": "count/configmaps", "used": "0", "hard": "4000"},
            {"resource": "count/secrets", "used": "0", "hard": "2000"},
            {"resource": "count/services", "used": "0", "hard": "4000"},
            {"resource": "count/persistentvolumeclaims", "used": "0", "hard": "100"},
        ],
        "conditions": [condition("Ready", "True", "Converged", "Namespaces in use: 2")],
    }


def test_conditions_of_tenants_that_are_not() -> None:
    def told(*states: NamespaceState) -> tuple[list[object], float | None]:
        assessment = assess(TENANT, ObservedTenant(states), NOW)
        return shown(assessment)["conditions"], assessment.requeue_after

    advice = "delete or rename it, or annotate it with agentic.io/adopt=true to hand it over"
    message = f"Namespace acme-b belongs to Agent x; {advice}"
    assert told(NamespaceState("acme-a"), NamespaceState("acme-b", "Conflict", "Agent x")) == (
        [condition("Ready", "False", "Conflict", message), condition("Stalled", "True", "Conflict", message)],
        SOON,
    )
    message = "Waiting for namespaces: acme-a is Pending, acme-b is Terminating"
    assert told(NamespaceState("acme-a"), NamespaceState("acme-b", "Terminating")) == (
        [
            condition("Ready", "False", "NamespacesNotReady", message),
            condition("Reconciling", "True", "NamespacesNotReady", message),
        ],
        SOON,
    )
    message = "Waiting for the quota of acme-a to be counted"
    assert told(NamespaceState("acme-a", "Active", used={"pods": "0"}, uncounted=True)) == (
        [
            condition("Ready", "False", "QuotaNotCounted", message),
            condition("Reconciling", "True", "QuotaNotCounted", message),
        ],
        RECOUNT,
    )


def test_a_retained_namespace_is_told_and_harms_nothing() -> None:
    assessment = assess(
        TENANT, ObservedTenant((NamespaceState("acme-a", "Active"), NamespaceState("acme-x", "Retained"))), NOW
    )
    message = (
        "Namespace acme-x is not declared any more but has objects of kind ModelProvider or Agent, which go on "
        "working; declare it again, delete them, or annotate it with agentic.io/delete=true to delete it with all "
        "that is in it"
    )
    assert shown(assessment)["conditions"] == [
        condition("Ready", "True", "Converged", "Namespaces in use: 1"),
        condition("NamespacesRetained", "True", "InUse", message),
    ]
    assert shown(assessment)["namespaces"][1] == {"name": "acme-x", "phase": "Retained"}
    assert shown(assessment)["quotas"][2] == {"resource": "pods", "used": "0", "hard": "200"}


def test_a_retained_namespace_names_every_kind_that_keeps_it() -> None:
    with KINDS.registered(GADGET, RECORD):
        (retained,) = observations(ObservedTenant((NamespaceState("acme-x", "Retained"),)))[1:]
    assert "has objects of kind ModelProvider or Agent or Gadget, which" in retained.message
