"""All reads of the Agent controller; `handlers` calls it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentic_core import names
from agentic_core.cluster.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE, Ref
from agentic_core.resolve import ResolutionProblem, Surroundings
from agentic_crds import Agent, ModelProvider, ModelProviderSpec, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agent import conflicts, runtime
from agentic_operator.controllers.agent.budget import DefinitionBudgets, TenantBudget
from agentic_operator.controllers.agent.observed import ExistingRevision, ObservedAgent
from agentic_operator.controllers.agent.prompt_sources import PromptSources
from agentic_operator.controllers.agent.revision_objects import RevisionObjects, revision_objects
from agentic_operator.controllers.kinds import PROMPT, REVISION
from agentic_operator.controllers.lookups import AGENT, AGENT_CONTROLLER, PROVIDER, PROVIDERS_BY_NAMESPACE
from agentic_operator.controllers.parsed import Parsed
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.controller import ReconcileContext
from agentic_operator.engine.key import ReconcileKey


@dataclass(frozen=True)
class Parsers:
    """Typed forms of what agents refer to."""

    tenants: Parsed[Tenant]
    providers: Parsed[ModelProvider]


async def observe(
    agent: Agent,
    ctx: ReconcileContext,
    *,
    platform: PlatformSettings,
    parsers: Parsers,
    sources: PromptSources,
    budgets: DefinitionBudgets,
) -> ObservedAgent:
    """What the agent refers to, its revisions and its runtime."""
    name, namespace = agent.metadata.name, agent.metadata.namespace or ""
    children = ctx.index.children(ReconcileKey(AGENT_CONTROLLER, AGENT.ref(name, namespace)))
    revisions = [ctx.index.get(ref) for ref in children if ref.kind == REVISION]
    tenant = tenancy.tenant_of(namespace, ctx.index, parsers.tenants)
    service = ctx.index.get(SERVICE.ref(runtime.runtime_name(agent), namespace))
    observed = ObservedAgent(
        spec=agent.spec,
        around=Surroundings(
            namespace=namespace,
            providers=_providers(namespace, ctx, parsers),
            prompts=await _prompts(agent, ctx, sources),
            allowed_models=tenant.spec.ai.models.allowed if tenant else (),
            installed_tools=platform.installed_tools,
        ),
        tenant=tenant.metadata.name if tenant else None,
        revisions=tuple(ExistingRevision.parse(obj["metadata"]) for obj in revisions if obj),
        children=frozenset(children),
        shared=ctx.index.get(DEPLOYMENT.ref(names.RUNTIME, namespace)),
        conflict=await conflicts.conflict(agent, ctx) if tenant else "",
        reachable=service is not None and runtime.leads_to_its_pods(service),
        dedicated=ctx.index.get(DEPLOYMENT.ref(names.dedicated_name(name), namespace)),
    )
    return (
        replace(observed, over_budget=_reserve(agent, observed, tenant, ctx=ctx, budgets=budgets))
        if tenant
        else observed
    )


def _reserve(
    agent: Agent, observed: ObservedAgent, tenant: Tenant, *, ctx: ReconcileContext, budgets: DefinitionBudgets
) -> ResolutionProblem | None:
    """The problem when the tenant's budget has no room for the objects that are to be created."""
    objects = revision_objects(agent, observed)
    if objects is None:
        return None
    budget = TenantBudget.of(tenant, tenancy.namespaces_of(tenant, ctx.index))
    ref = AGENT.ref(agent.metadata.name, agent.metadata.namespace)
    return budgets.reserve(ref, _needed(objects, ctx), budget, index=ctx.index)


def _needed(objects: RevisionObjects, ctx: ReconcileContext) -> dict[Ref, int]:
    """Bytes of the objects that do not all exist: empty in most reconciles, which is checked without building them."""
    existing = objects.existing
    prompt = PROMPT.ref(existing.prompt, objects.agent.metadata.namespace) if existing and existing.prompt else None
    return {} if existing and (prompt is None or ctx.index.entry(prompt)) else objects.sizes


def _providers(namespace: str, ctx: ReconcileContext, parsers: Parsers) -> dict[str, ModelProviderSpec]:
    found = {}
    for ref in ctx.index.by(PROVIDER, PROVIDERS_BY_NAMESPACE, namespace):
        provider = parsers.providers.find(ref, ctx.index)
        if provider and not provider.metadata.deletion_timestamp:
            found[ref.name] = provider.spec
    return found


async def _prompts(agent: Agent, ctx: ReconcileContext, sources: PromptSources) -> Mapping[str, str] | None:
    """What the ConfigMap has that the prompt is in."""
    source = agent.spec.system_prompt_from
    ref = CONFIG_MAP.ref(source.name, agent.metadata.namespace) if source else None
    entry = ctx.index.entry(ref) if ref else None
    return await sources.get(ref, entry.version, ctx.cluster) if ref and entry else None
