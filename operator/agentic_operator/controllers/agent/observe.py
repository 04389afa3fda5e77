"""All reads of the Agent controller; `handlers` calls it."""

from dataclasses import dataclass, field
from functools import cached_property

from agentic_core import names
from agentic_core.cluster.kinds import CONFIG_MAP, DEPLOYMENT, Object, Ref, custom
from agentic_core.resolve import Resolution, Surroundings, resolve
from agentic_crds import Agent, AgentRevision, ModelProvider, ModelProviderSpec, Tenant
from agentic_crds.agent import AgentSpec
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agents import AGENT, PROVIDER, PROVIDERS_BY_NAMESPACE
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Context

REVISION = custom(AgentRevision)


@dataclass(frozen=True)
class Revision:
    """A revision that exists."""

    name: str
    created: str
    """RFC 3339; sorts by time."""


@dataclass(frozen=True)
class Observed:
    """What an agent depends on, and what it has."""

    spec: AgentSpec
    around: Surroundings
    tenant: str | None
    revisions: tuple[Revision, ...] = ()
    children: frozenset[Ref] = field(default_factory=frozenset[Ref])
    """Objects that were made for it, revisions included."""
    shared: Object | None = None
    """The shared runtime's Deployment."""
    dedicated: Object | None = None
    """The Deployment of its own."""

    @cached_property
    def resolution(self) -> Resolution:
        """The agent resolved, once for `desired` and `assess`."""
        return resolve(self.spec, self.around)


@dataclass(frozen=True)
class Parsers:
    """Typed forms of what agents refer to."""

    tenants: tenancy.Parsed[Tenant]
    providers: tenancy.Parsed[ModelProvider]


async def observe(agent: Agent, ctx: Context, platform: Platform, parsers: Parsers) -> Observed:
    """What the agent refers to, its revisions and its runtime."""
    name, namespace = agent.metadata.name, agent.metadata.namespace or ""
    children = ctx.index.children(AGENT.ref(name, namespace))
    tenant = tenancy.tenant_of(namespace, ctx.index, parsers.tenants)
    return Observed(
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


def _providers(namespace: str, ctx: Context, parsers: Parsers) -> dict[str, ModelProviderSpec]:
    found = {}
    for ref in ctx.index.by(PROVIDER, PROVIDERS_BY_NAMESPACE, namespace):
        provider = parsers.providers.find(ref, ctx.index)
        if provider and not provider.metadata.deletion_timestamp:
            found[ref.name] = provider.spec
    return found


async def _prompts(agent: Agent, ctx: Context) -> dict[str, str] | None:
    """The ConfigMap that the prompt is in. Only its metadata is watched: other people's ConfigMaps are many."""
    source = agent.spec.system_prompt_from
    ref = CONFIG_MAP.ref(source.name, agent.metadata.namespace) if source else None
    if ref is None or ctx.index.entry(ref) is None:
        return None
    found = await ctx.cluster.get(ref)
    return None if found is None else dict(found.get("data") or {})


def _revision(ref: Ref, ctx: Context) -> Revision:
    obj = ctx.index.get(ref) or {}
    return Revision(ref.name, str(obj.get("metadata", {}).get("creationTimestamp", "")))
