"""What shall exist because of a ModelProvider, and what its status says; pure."""

from typing import Any

import pytest

from agentic_core.cluster.kinds import Object
from agentic_crds import ModelProvider
from agentic_operator.controllers.model_provider.desired import desired
from agentic_operator.controllers.model_provider.observed import PENDING, ObservedKey, ObservedProvider, ProbeResult
from agentic_operator.controllers.model_provider.status import INTERVAL, PERMISSION_PAUSE, SOON, assess
from agentic_operator.desired import access
from tests.operator.controllers.decisions import NOW, PLATFORM, condition, shown

FOUND = ObservedKey("Found", "abc")
ANSWERS = ProbeResult("True", "Answers", "http://x answers")
REFUSED = ProbeResult("False", "KeyRefused", "check the Secret")
FAILED = ProbeResult("False", "ProviderFailed", "http://x answers with status 500")


def provider(*, secret: bool = True, **status: Any) -> ModelProvider:
    """A provider of one model."""
    body: Object = {"metadata": {"name": "p", "namespace": "acme-default", "generation": 3}}
    ref = {"secretRef": {"name": "keys"}} if secret else {}
    spec = {"type": "openai", "models": [{"name": "m"}]} | ref
    return ModelProvider.model_validate(body | {"spec": spec} | ({"status": status} if status else {}))


def test_operator_and_gateway_may_read_the_one_secret() -> None:
    common = {"namespace": "acme-default", "tenant": "acme"}
    system = {"account_namespace": "agentic-system"}
    assert desired(provider(), ObservedProvider("acme", FOUND), PLATFORM).objects == [
        access.role_binding(
            "provider-p-operator",
            role="agentic-provider-secrets",
            kind="ClusterRole",
            account="agentic-operator",
            **common,
            **system,
        ),
        access.secret_role("provider-p", secret="keys", **common),
        access.role_binding("provider-p-gateway", role="provider-p", account="agentic-gateway", **common, **system),
    ]


@pytest.mark.parametrize(
    "observed",
    [ObservedProvider(None, ObservedKey("NotPermitted")), ObservedProvider("acme", ObservedKey("NotNeeded"))],
)
def test_without_tenant_or_secret_nothing_is_given(observed: ObservedProvider) -> None:
    assert desired(provider(secret=observed.tenant is None), observed, PLATFORM).objects == ()


def test_the_status_of_a_provider_that_answers() -> None:
    assessment = assess(provider(), ObservedProvider("acme", FOUND, ANSWERS), NOW)
    assert shown(assessment) == {
        "observedGeneration": 3,
        "secretHash": "abc",
        "models": 1,
        "conditions": [
            condition("Ready", "True", "Converged", "Models offered: 1"),
            condition("Reachable", "True", "Answers", "http://x answers"),
        ],
    }
    assert assessment.requeue_after == INTERVAL


def trouble(kind: str, reason: str, message: str) -> list[object]:
    """Ready=False, and why."""
    return [condition("Ready", "False", reason, message), condition(kind, "True", reason, message)]


MISSING = (
    "Secret acme-default/keys not found; create it with the API key under api-key, "
    "labelled agentic.io/provider-key=true"
)
HOMELESS = "Namespace acme-default belongs to no Tenant; use a namespace of a Tenant"


@pytest.mark.parametrize(
    ("observed", "conditions"),
    [
        (ObservedProvider(None, ObservedKey("NotPermitted")), trouble("Stalled", "NoTenant", HOMELESS)),
        (ObservedProvider("acme", ObservedKey("SecretMissing")), trouble("Stalled", "SecretMissing", MISSING)),
        (
            ObservedProvider("acme", ObservedKey("NotPermitted")),
            trouble("Reconciling", "PermissionPending", "Waiting for the right to read the Secret"),
        ),
        (
            ObservedProvider("acme", FOUND, REFUSED),
            [
                *trouble("Stalled", "KeyRefused", REFUSED.message),
                condition("Reachable", "False", "KeyRefused", REFUSED.message),
            ],
        ),
        (
            ObservedProvider("acme", FOUND, FAILED),
            [
                *trouble("Reconciling", "ProviderFailed", FAILED.message),
                condition("Reachable", "False", "ProviderFailed", FAILED.message),
            ],
        ),
    ],
    ids=lambda found: found.key.state if isinstance(found, ObservedProvider) else "",
)
def test_conditions_of_a_provider_in_trouble(observed: ObservedProvider, conditions: list[object]) -> None:
    assert shown(assess(provider(), observed, NOW))["conditions"] == conditions


def test_what_was_known_before_a_restart_stands_until_the_first_answer() -> None:
    before = shown(assess(provider(), ObservedProvider("acme", FOUND, ANSWERS), NOW))
    pending = ObservedProvider("acme", FOUND, PENDING, probing=True)
    assessment = assess(provider(**before), pending, NOW)
    assert shown(assessment) == before
    assert assessment.requeue_after == SOON
    rotated = ObservedProvider("acme", ObservedKey("Found", "new"), PENDING, probing=True)
    assert shown(assess(provider(**before), rotated, NOW))["conditions"][0]["reason"] == "Probing"
    assert (
        assess(provider(), ObservedProvider("acme", ObservedKey("NotPermitted")), NOW).requeue_after == PERMISSION_PAUSE
    )
