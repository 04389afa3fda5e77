"""The Agent controller, as the engine runs it."""

from collections.abc import Hashable, Iterable
from datetime import datetime

from agentic_core import names
from agentic_core.cluster.kinds import (
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    NAMESPACE,
    SERVICE,
    Object,
    Ref,
)
from agentic_crds import Agent, AgentStatus, ModelProvider, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agent import runtime
from agentic_operator.controllers.agent.budget import AMOUNTS, DefinitionBudgets
from agentic_operator.controllers.agent.desired import desired
from agentic_operator.controllers.agent.observe import Parsers, observe
from agentic_operator.controllers.agent.observed import ObservedAgent
from agentic_operator.controllers.agent.prompt_sources import PromptSources
from agentic_operator.controllers.agent.status import assess
from agentic_operator.controllers.kinds import PROMPT, REVISION
from agentic_operator.controllers.lookups import (
    AGENT,
    AGENT_CONTROLLER,
    AGENT_LOOKUPS,
    BY_NAMESPACE,
    BY_PROMPT_SOURCE,
    BY_PROVIDER,
    BY_SHARED_RUNTIME,
    PROVIDER,
    PROVIDER_LOOKUP,
    REVISION_LOOKUP,
    revisions_with,
)
from agentic_operator.controllers.parsed import Parsed
from agentic_operator.controllers.tenancy import TENANT
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.controller import Controller, ReconcileContext, WatchedKind, all_fields
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.index import Change, Index


def _shared_state(deployment: Object) -> Hashable:
    return *_identity(deployment), runtime.state(deployment)


def _service_state(service: Object) -> Hashable:
    return *_identity(service), runtime.leads_to_its_pods(service)


def _identity(child: Object) -> tuple[Hashable, ...]:
    """Which object it is, and whose by its labels."""
    metadata = child["metadata"]
    return metadata["uid"], tuple(sorted((metadata.get("labels") or {}).items()))


FINGERPRINTS = {
    PROVIDER: tenancy.spec_of,
    TENANT: tenancy.spec_of,
    NAMESPACE: tenancy.membership_of,
    DEPLOYMENT: _shared_state,
    SERVICE: _service_state,
}
"""What matters to agents of an object that they depend on."""


class AgentController(Controller[Agent, ObservedAgent]):
    """Resolves agents into revisions and runs the Dedicated ones."""

    name = AGENT_CONTROLLER
    kind = AGENT
    conditions = frozenset({*names.SUMMARY_CONDITIONS, names.RESOLVED, names.RUNTIME_READY})
    status_fields = all_fields(AgentStatus)
    children = (REVISION, DEPLOYMENT, SERVICE, AUTOSCALER, DISRUPTION_BUDGET)
    immutable = (REVISION,)
    watches = (WatchedKind(CONFIG_MAP, metadata_only=True),)
    amounts = AMOUNTS
    lookups = (*AGENT_LOOKUPS, PROVIDER_LOOKUP, REVISION_LOOKUP)

    def __init__(self, platform: PlatformSettings) -> None:
        self._platform = platform
        self._parsers = Parsers(Parsed(Tenant), Parsed(ModelProvider))
        self._sources = PromptSources()
        self._budgets = DefinitionBudgets()

    def parse(self, obj: Object) -> Agent:
        return Agent.model_validate(obj)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        kind, name, namespace = change.ref.kind, change.ref.name, change.ref.namespace or ""
        fingerprint = FINGERPRINTS.get(kind)
        if fingerprint and not change.matters(fingerprint):
            return ()
        if kind == PROVIDER:
            named, open_ = f"{namespace}/{name}", f"{namespace}/"
            return [*index.by(AGENT, BY_PROVIDER, named), *index.by(AGENT, BY_PROVIDER, open_)]
        if kind == CONFIG_MAP:
            return index.by(AGENT, BY_PROMPT_SOURCE, f"{namespace}/{name}")
        if kind in (REVISION, PROMPT):
            return [] if change.after else self._agents_after_deletion(change.ref, index)
        if kind == NAMESPACE:
            return index.by(AGENT, BY_NAMESPACE, name)
        if kind == TENANT:
            return self._agents_of(change.obj, index)
        if kind in (DEPLOYMENT, SERVICE) and name == names.RUNTIME:
            return index.by(AGENT, BY_SHARED_RUNTIME, namespace)
        return ()

    def _agents_after_deletion(self, gone: Ref, index: Index) -> list[Ref]:
        """Those that found no room in their tenant's budget, and those with revisions that refer to a prompt which
        somebody else than the operator deleted."""
        revisions = revisions_with(gone, index) if gone.kind == PROMPT else []
        entries = [index.entry(ref) for ref in revisions]
        owners = [entry.owner.ref for entry in entries if entry and entry.owner and entry.owner.ref.kind == AGENT]
        return [*owners, *self._budgets.refused(gone.namespace or "", index)]

    def _agents_of(self, obj: Object, index: Index) -> list[Ref]:
        tenant = self._parsers.tenants.read(obj)
        namespaces = tenancy.namespaces_of(tenant, index) if tenant else ()
        return [ref for namespace in namespaces for ref in index.by(AGENT, BY_NAMESPACE, namespace)]

    async def observe(self, resource: Agent, ctx: ReconcileContext) -> ObservedAgent:
        return await observe(
            resource,
            ctx,
            platform=self._platform,
            parsers=self._parsers,
            sources=self._sources,
            budgets=self._budgets,
        )

    def desired(self, resource: Agent, observed: ObservedAgent) -> Wanted:
        return desired(resource, observed, self._platform)

    def assess(self, resource: Agent, observed: ObservedAgent, now: datetime) -> Assessment:
        return assess(resource, observed, now)
