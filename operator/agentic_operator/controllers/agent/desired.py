"""What shall exist because of an Agent; pure."""

from agentic_core import names
from agentic_core.cluster.kinds import Object, Ref
from agentic_crds import Agent
from agentic_crds.agent import AgentRuntime, Resources, RuntimeMode
from agentic_operator.controllers.agent.observed import ObservedAgent
from agentic_operator.controllers.agent.revision_objects import revision_objects
from agentic_operator.controllers.agent.runtime import observed_state
from agentic_operator.controllers.kinds import REVISION
from agentic_operator.desired import runtime
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.decision import Wanted


def desired(agent: Agent, observed: ObservedAgent, platform: PlatformSettings) -> Wanted:
    """The revision of the spec, and pods of its own for a Dedicated agent.

    While there is no revision of the spec everything stays as it is: the last good revision goes on serving. Where the
    budget has no room for it, older ones than the history limit allows with it make room.
    """
    objects = revision_objects(agent, observed)
    latest = names.revision_name(agent.metadata.name, observed.resolution.digest) if objects else None
    kept = kept_revisions(agent, observed, latest=latest)
    if objects is None or observed.over_budget:
        return Wanted(keep=frozenset({ref for ref in observed.children if ref.kind != REVISION} | kept))
    return Wanted(
        [objects.revision, *own_runtime(agent, objects.tenant, platform)],
        keep=frozenset(kept | _until_replaced(agent, observed)),
        shared=objects.prompts,
    )


def own_runtime(agent: Agent, tenant: str, platform: PlatformSettings) -> list[Object]:
    """The objects of the runtime of a Dedicated agent."""
    wanted = agent.spec.runtime
    if wanted.mode != RuntimeMode.DEDICATED:
        return []
    own = runtime.RuntimePods(
        name=names.dedicated_name(agent.metadata.name),
        namespace=agent.metadata.namespace or "",
        tenant=tenant,
        agent=agent.metadata.name,
        image=wanted.image or platform.runtime_image,
        scale=_scale(wanted),
        resources=wanted.resources or Resources(),
        env={variable.name: variable.value for variable in wanted.env},
    )
    return runtime.objects(own, platform)


def _scale(wanted: AgentRuntime) -> runtime.Autoscaled | int:
    if scaling := wanted.autoscaling:
        cpu = runtime.utilization(scaling.target_cpu)
        return runtime.Autoscaled(scaling.min_replicas, scaling.max_replicas, cpu)
    return 1 if wanted.replicas is None else wanted.replicas


def kept_revisions(agent: Agent, observed: ObservedAgent, *, latest: str | None) -> set[Ref]:
    """The revision in use and the newest others, as many as the history limit allows, `latest` counted in."""
    ready = agent.status.ready_revision if agent.status else None
    always = {name for name in (latest, ready) if name}
    newest = sorted(observed.revisions, key=lambda one: (one.created, one.name), reverse=True)
    others = [one.name for one in newest if one.name not in always]
    free = max(0, agent.spec.revision_history_limit - len(always))
    existing = {one.name for one in observed.revisions}
    kept = (always & existing) | set(others[:free])
    return {REVISION.ref(name, agent.metadata.namespace) for name in kept}


def _until_replaced(agent: Agent, observed: ObservedAgent) -> set[Ref]:
    """Pods of its own stay until the shared runtime can take over."""
    leaving = agent.spec.runtime.mode == RuntimeMode.SHARED and observed.dedicated is not None
    if not leaving or observed_state(agent, observed).available:
        return set()
    return {ref for ref in observed.children if ref.kind != REVISION}
