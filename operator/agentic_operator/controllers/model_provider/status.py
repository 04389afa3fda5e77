"""The status of a ModelProvider; pure."""

from datetime import datetime

from agentic_core import conditions, names
from agentic_core.conditions import Observation
from agentic_crds import ModelProvider, ModelProviderStatus
from agentic_crds.model_provider import KEY_SECRET_TYPE
from agentic_operator.controllers.model_provider.observe import Observed
from agentic_operator.controllers.model_provider.probe import INTERVAL, PENDING, Answer
from agentic_operator.engine.controller import Assessment

SOON = 1.0
"""Seconds until an answer that is on its way is asked for."""
PERMISSION_PAUSE = 2.0
"""Seconds until the API server knows of a right that was just given."""
TERMINAL = frozenset({"KeyRefused", "AddressForbidden", "Redirected"})
"""Reasons that somebody has to do something about."""


def assess(provider: ModelProvider, observed: Observed, now: datetime) -> Assessment:
    """Whether the provider has its key and answers."""
    generation = provider.metadata.generation
    status = ModelProviderStatus(
        observed_generation=generation,
        secret_hash=observed.key.hash,
        models=len(provider.spec.models),
        conditions=conditions.stamp(observations(provider, observed), generation=generation, now=now),
    )
    return Assessment(status, requeue_after=_pause(observed))


def observations(provider: ModelProvider, observed: Observed) -> list[Observation]:
    """Ready when the key is there and the provider answers."""
    if observed.tenant is None:
        message = f"Namespace {provider.metadata.namespace} belongs to no Tenant; use a namespace of a Tenant"
        return conditions.stalled("NoTenant", message)
    if observed.answer is None:
        return _without_key(provider, observed)
    answer = _remembered(provider, observed) or observed.answer
    reachable = Observation(names.REACHABLE, answer.status, answer.reason, answer.message)
    return [*_summary(provider, answer), reachable]


def _remembered(provider: ModelProvider, observed: Observed) -> Answer | None:
    """What the status told before this process began, until the first answer is there."""
    before = provider.status
    if observed.answer != PENDING or before is None or before.secret_hash != observed.key.hash:
        return None
    found = next((one for one in before.conditions if one.type == names.REACHABLE), None)
    if found is None or found.observed_generation != provider.metadata.generation:
        return None
    return Answer(found.status, found.reason, found.message)


def _summary(provider: ModelProvider, answer: Answer) -> list[Observation]:
    if answer.status == "True":
        return conditions.ready(f"Models offered: {len(provider.spec.models)}")
    if answer.reason in TERMINAL:
        return conditions.stalled(answer.reason, answer.message)
    return conditions.reconciling(answer.reason, answer.message)


def _without_key(provider: ModelProvider, observed: Observed) -> list[Observation]:
    ref = provider.spec.secret_ref
    if ref is None or observed.key.state == "NotPermitted":
        return conditions.reconciling("PermissionPending", "Waiting for the right to read the Secret")
    where = f"Secret {provider.metadata.namespace}/{ref.name}"
    messages = {
        "SecretMissing": f"{where} not found; create it with the API key under {ref.key}",
        "KeyMissing": f"{where} has no key {ref.key}; add it, or set secretRef.key",
    }
    wrong = f"it is empty, not plain text, or of another type than {KEY_SECRET_TYPE}"
    default = f"Key {ref.key} of {where} is no API key: {wrong}"
    return conditions.stalled(observed.key.state, messages.get(observed.key.state, default))


def _pause(observed: Observed) -> float | None:
    if observed.tenant is None:
        return None
    if observed.key.state == "NotPermitted":
        return PERMISSION_PAUSE
    return SOON if observed.probing or observed.answer == PENDING else INTERVAL
