"""The smallest controller: an Agent becomes a ConfigMap with its prompt. The engine's tests run it."""

from collections.abc import Iterable
from datetime import datetime

from agentic_core.cluster.kinds import CONFIG_MAP, Object, Ref, custom
from agentic_crds import Agent, AgentStatus, ModelProvider
from agentic_crds.base import Condition
from agentic_operator.engine.controller import Controller, ReconcileContext
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.index import Change, Index, Lookup

AGENT = custom(Agent)
PROVIDER = custom(ModelProvider)


def provider_of(agent: Object) -> list[str]:
    """The provider that an Agent refers to, for the index."""
    return [f"{agent['metadata']['namespace']}/{agent['spec']['model'].get('provider', '')}"]


class TinyController(Controller[Agent, int]):
    """Observes whether the ConfigMap is there."""

    name = "tiny"
    kind = AGENT
    conditions = frozenset({"Ready", "Conflict", "Stalled"})
    status_fields = frozenset({"observedGeneration"})
    children = (CONFIG_MAP,)
    lookups = (Lookup(AGENT, "provider", provider_of),)

    def __init__(self, *, needs_finalizer: bool = False) -> None:
        self.needs_finalizer = needs_finalizer

    def parse(self, obj: Object) -> Agent:
        return Agent.model_validate(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        ref = change.ref
        return index.by(AGENT, "provider", f"{ref.namespace}/{ref.name}") if ref.kind == PROVIDER else ()

    async def observe(self, resource: Agent, ctx: ReconcileContext) -> int:
        return 0

    def desired(self, resource: Agent, observed: int) -> Wanted:
        metadata = {"name": f"prompt-{resource.metadata.name}", "namespace": resource.metadata.namespace}
        data = {"prompt": resource.spec.system_prompt or ""}
        return Wanted([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])

    def assess(self, resource: Agent, observed: int, now: datetime) -> Assessment:
        ready = Condition(
            type="Ready",
            status="True",
            reason="Prompted",
            observed_generation=resource.metadata.generation,
            last_transition_time=now,
        )
        return Assessment(AgentStatus(observed_generation=resource.metadata.generation, conditions=[ready]))


def agent(namespace: str, name: str, prompt: str = "Be brief.", provider: str = "any") -> Object:
    """An Agent."""
    return {
        "apiVersion": AGENT.api_version,
        "kind": "Agent",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"systemPrompt": prompt, "model": {"provider": provider, "name": "m"}},
    }
