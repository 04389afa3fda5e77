"""Whether a Service or Deployment of a runtime's name is somebody else's; runs must not go there. `observe` calls it.

The index has what is labelled as the operator's, whoever wrote the labels; so what is not this runtime's by its labels
is read from the API server, which has its field managers too.
"""

from agentic_core.cluster.kinds import DEPLOYMENT, NAMESPACE, SERVICE, Object, Ref
from agentic_crds import Agent
from agentic_crds.agent import RuntimeMode
from agentic_operator.controllers.agent.runtime import runtime_name
from agentic_operator.controllers.lookups import AGENT
from agentic_operator.engine import ownership
from agentic_operator.engine.controller import ReconcileContext


async def conflict(agent: Agent, ctx: ReconcileContext) -> str:
    """What stands in the runtime's place and what to do about it; empty when nothing does."""
    namespace = agent.metadata.namespace or ""
    dedicated = agent.spec.runtime.mode == RuntimeMode.DEDICATED
    owner = ctx.index.get(AGENT.ref(agent.metadata.name, namespace) if dedicated else NAMESPACE.ref(namespace))
    if owner is None:
        return ""
    refs = (kind.ref(runtime_name(agent), namespace) for kind in (DEPLOYMENT, SERVICE))
    return "; ".join(filter(None, [await _foreign(ref, owner, ctx) for ref in refs]))


async def _foreign(ref: Ref, owner: Object, ctx: ReconcileContext) -> str:
    found = ctx.index.get(ref)
    if found is None or not ownership.is_ours(found, owner):
        found = await ctx.cluster.get(ref, metadata_only=True)
    ours = found is None or ownership.is_ours(found, owner) or ownership.may_adopt(found)
    return "" if found is None or ours else ownership.foreign(ref, found)
