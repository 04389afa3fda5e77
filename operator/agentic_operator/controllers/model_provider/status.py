"""The status of a ModelProvider; pure."""

from datetime import datetime

from agentic_core import conditions, names
from agentic_core.conditions import Observation
from agentic_crds import ModelProvider, ModelProviderStatus
from agentic_operator.controllers.model_provider.observed import PENDING, ObservedProvider, ProbeResult
from agentic_operator.engine.decision import Assessment

INTERVAL = 60.0
"""Seconds between two reconciles of a provider; its prober probes it as often."""
SOON = 1.0
"""Seconds until the result of a probe that is running is read."""
PERMISSION_PAUSE = 2.0
"""Seconds until the API server honours a right that was just given."""
TERMINAL = frozenset({"KeyRefused", "AddressForbidden", "Redirected"})
"""Reasons that stay until a user changes something."""


def assess(provider: ModelProvider, observed: ObservedProvider, now: datetime) -> Assessment:
    """Whether the provider has its key and responds."""
    generation = provider.metadata.generation
    status = ModelProviderStatus(
        observed_generation=generation,
        secret_hash=observed.key.hash,
        models=len(provider.spec.models),
        conditions=conditions.stamp(observations(provider, observed), generation=generation, now=now),
    )
    return Assessment(status, requeue_after=_pause(observed))


def observations(provider: ModelProvider, observed: ObservedProvider) -> list[Observation]:
    """Ready when the key exists and the provider responds."""
    if observed.tenant is None:
        message = f"Namespace {provider.metadata.namespace} belongs to no Tenant; use a namespace of a Tenant"
        return conditions.stalled("NoTenant", message)
    if observed.probe is None:
        return _without_key(provider, observed)
    probe = _previous(provider, observed) or observed.probe
    reachable = Observation(names.REACHABLE, probe.status, probe.reason, probe.message)
    return [*_summary(provider, probe), reachable]


def _previous(provider: ModelProvider, observed: ObservedProvider) -> ProbeResult | None:
    """What the status said before this process started, until the first probe has ended."""
    before = provider.status
    if observed.probe != PENDING or before is None or before.secret_hash != observed.key.hash:
        return None
    found = next((one for one in before.conditions if one.type == names.REACHABLE), None)
    if found is None or found.observed_generation != provider.metadata.generation:
        return None
    return ProbeResult(found.status, found.reason, found.message)


def _summary(provider: ModelProvider, probe: ProbeResult) -> list[Observation]:
    if probe.status == "True":
        return conditions.ready(f"Models offered: {len(provider.spec.models)}")
    if probe.reason in TERMINAL:
        return conditions.stalled(probe.reason, probe.message)
    return conditions.reconciling(probe.reason, probe.message)


def _without_key(provider: ModelProvider, observed: ObservedProvider) -> list[Observation]:
    ref = provider.spec.secret_ref
    if ref is None or observed.key.state == "NotPermitted":
        return conditions.reconciling("PermissionPending", "Waiting for the right to read the Secret")
    missing = f"Secret {provider.metadata.namespace}/{ref.name} not found; create it with the API key under {ref.key}"
    return conditions.stalled(
        observed.key.state, observed.key.problem or f"{missing}, labelled {names.PROVIDER_KEY}=true"
    )


def _pause(observed: ObservedProvider) -> float | None:
    if observed.tenant is None:
        return None
    if observed.key.state == "NotPermitted":
        return PERMISSION_PAUSE
    return SOON if observed.probing or observed.probe == PENDING else INTERVAL
