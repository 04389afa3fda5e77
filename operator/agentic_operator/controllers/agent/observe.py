"""All reads of the Agent controller; `handlers` calls it."""

from dataclasses import dataclass

from agentic_core import names
from agentic_core.cluster.kinds import CONFIG_MAP, DEPLOYMENT, Ref
from agentic_core.resolve import Surroundings
from agentic_crds import Agent, ModelProvider, ModelProviderSpec, Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agent.observed import REVISION, ExistingRevision, ObservedAgent
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
    agent: Agent, ctx: ReconcileContext, *, platform: PlatformSettings, parsers: Parsers
) -> ObservedAgent:
    """What the agent refers to, its revisions and its runtime."""
    name, namespace = agent.metadata.name, agent.metadata.namespace or ""
    children = ctx.index.children(ReconcileKey(AGENT_CONTROLLER, AGENT.ref(name, namespace)))
    tenant = tenancy.tenant_of(namespace, ctx.index, parsers.tenants)
    return ObservedAgent(
        spec=agent.spec,
        around=Surroundings(
            namespace=namespace,
            providers=_providers(namespace, ctx, parsers),
            prompts=await _prompts(agent, ctx),
            allowed_models=tenant.spec.ai.models.allowed if tenant else (),
            installed_tools=platform.installed_tools,
        ),
        tenant=tenant.metadata.name if tenant else None,
        revisions=tuple(_revision(ref, ctx) for ref in children if ref.kind == REVISION),
        children=frozenset(children),
        shared=ctx.index.get(DEPLOYMENT.ref(names.RUNTIME, namespace)),
        dedicated=ctx.index.get(DEPLOYMENT.ref(names.dedicated_name(name), namespace)),
    )


def _providers(namespace: str, ctx: ReconcileContext, parsers: Parsers) -> dict[str, ModelProviderSpec]:
    found = {}
    for ref in ctx.index.by(PROVIDER, PROVIDERS_BY_NAMESPACE, namespace):
        provider = parsers.providers.find(ref, ctx.index)
        if provider and not provider.metadata.deletion_timestamp:
            found[ref.name] = provider.spec
    return found


async def _prompts(agent: Agent, ctx: ReconcileContext) -> dict[str, str] | None:
    """The ConfigMap that the prompt is in. Only its metadata is watched: other people's ConfigMaps are many."""
    source = agent.spec.system_prompt_from
    ref = CONFIG_MAP.ref(source.name, agent.metadata.namespace) if source else None
    if ref is None or ctx.index.entry(ref) is None:
        return None
    found = await ctx.cluster.get(ref)
    return None if found is None else dict(found.get("data") or {})


def _revision(ref: Ref, ctx: ReconcileContext) -> ExistingRevision:
    obj = ctx.index.get(ref) or {}
    return ExistingRevision(ref.name, str(obj.get("metadata", {}).get("creationTimestamp", "")))
