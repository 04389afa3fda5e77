"""The status of an Agent; pure."""

from datetime import datetime

from agentic_core import conditions, names
from agentic_core.conditions import Observation
from agentic_core.resolve import ResolutionProblem
from agentic_crds import Agent, AgentStatus
from agentic_crds.agent import RuntimeMode
from agentic_operator.controllers.agent import runtime
from agentic_operator.controllers.agent.observed import ObservedAgent
from agentic_operator.controllers.agent.runtime import RuntimeState
from agentic_operator.engine.decision import Assessment

BUDGET_PAUSE = 60.0
"""Seconds until an agent without room in its tenant's budget is looked at again: others may have made room."""


def assess(agent: Agent, observed: ObservedAgent, now: datetime) -> Assessment:
    """Which revision serves and where, and whether it is that of the current spec."""
    deployment = runtime.runtime_of(agent, observed)
    state = runtime.observed_state(agent, observed)
    problems = problems_of(agent, observed)
    before = agent.status or AgentStatus()
    latest = before.latest_revision if problems else _latest(agent, observed)
    stored = any(revision.name == latest for revision in observed.revisions)
    serving = state.available and stored and not problems
    dedicated = agent.spec.runtime.mode == RuntimeMode.DEDICATED
    pods = deployment if deployment and dedicated else None
    status = AgentStatus(
        observed_generation=agent.metadata.generation,
        latest_revision=latest if stored else before.latest_revision,
        ready_revision=latest if serving else before.ready_revision,
        endpoint=_endpoint(agent) if serving else _former_endpoint(agent, observed),
        replicas=(pods.get("status") or {}).get("readyReplicas", 0) if pods else None,
        selector=_selector(pods["spec"]["selector"]["matchLabels"]) if pods else None,
        conditions=conditions.stamp(
            [*observations(problems, state, latest), *_conflict(observed)],
            generation=agent.metadata.generation,
            now=now,
        ),
    )
    return Assessment(status, requeue_after=BUDGET_PAUSE if observed.over_budget else None)


def problems_of(agent: Agent, observed: ObservedAgent) -> tuple[ResolutionProblem, ...]:
    """Why there is no revision of the spec; empty when there is one."""
    if observed.tenant is None:
        message = (
            f"Namespace {agent.metadata.namespace} belongs to no Tenant; create the agent in a namespace of a Tenant"
        )
        return (ResolutionProblem("NoTenant", message),)
    return observed.resolution.problems or ((observed.over_budget,) if observed.over_budget else ())


def observations(problems: tuple[ResolutionProblem, ...], state: RuntimeState, latest: str | None) -> list[Observation]:
    """Ready sums up the two others: first what the user has to do, then what comes by itself."""
    serves = conditions.true if state.available else conditions.false
    runtime_ready = serves(names.RUNTIME_READY, state.reason, state.message)
    if problems:
        reason, message = problems[0].reason, "; ".join(problem.message for problem in problems)
        unresolved = conditions.false(names.RESOLVED, reason, message)
        return [*conditions.stalled(reason, message), unresolved, runtime_ready]
    resolved = conditions.true(names.RESOLVED, "Resolved", f"Revision {latest}")
    return [*_summary(state, latest), resolved, runtime_ready]


def _summary(state: RuntimeState, latest: str | None) -> list[Observation]:
    if state.failed:
        return conditions.stalled(state.reason, state.message)
    if not state.settled:
        return conditions.reconciling(state.reason, state.message)
    return conditions.ready(f"Revision {latest} serves")


def _latest(agent: Agent, observed: ObservedAgent) -> str:
    return names.revision_name(agent.metadata.name, observed.resolution.digest)


def _endpoint(agent: Agent) -> str:
    return names.runtime_url(runtime.runtime_name(agent), agent.metadata.namespace or "")


def _former_endpoint(agent: Agent, observed: ObservedAgent) -> str | None:
    """The endpoint until now, unless something of somebody else's is there."""
    before = agent.status.endpoint if agent.status else None
    return None if observed.conflict and before == _endpoint(agent) else before


def _conflict(observed: ObservedAgent) -> list[Observation]:
    return [conditions.true(names.CONFLICT, "ForeignObject", observed.conflict)] if observed.conflict else []


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
