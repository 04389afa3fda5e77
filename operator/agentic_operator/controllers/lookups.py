"""How agents and what they refer to are found; all controllers of namespaced kinds use it."""

from collections.abc import Iterable

from agentic_core import names
from agentic_core.cluster.kinds import Object, Ref, custom
from agentic_crds import Agent, ModelProvider
from agentic_crds.agent import RuntimeMode
from agentic_operator.controllers.kinds import REVISION
from agentic_operator.engine.index import Index, Lookup

AGENT = custom(Agent)
AGENT_CONTROLLER = "agent"
"""Name of the controller that makes revisions and Dedicated runtimes."""
PROVIDER = custom(ModelProvider)
PROVIDERS_BY_NAMESPACE = "providers-of-namespace"
PROVIDER_LOOKUP = Lookup(PROVIDER, PROVIDERS_BY_NAMESPACE, lambda provider: (provider["metadata"]["namespace"],))


def is_dedicated(agent: Object) -> bool:
    """Whether the agent runs in pods of its own."""
    runtime = agent.get("spec", {}).get("runtime") or {}
    return bool(runtime.get("mode") == RuntimeMode.DEDICATED)


def _namespace(agent: Object) -> str:
    return str(agent["metadata"]["namespace"])


def _shared_runtime(agent: Object) -> Iterable[str]:
    """A Dedicated agent needs the shared runtime too, until its own pods have taken over."""
    namespace = _namespace(agent)
    served = (agent.get("status") or {}).get("endpoint") == names.runtime_url(names.RUNTIME, namespace)
    return (namespace,) if served or not is_dedicated(agent) else ()


def _providers(agent: Object) -> Iterable[str]:
    """`namespace/provider` for each model; `namespace/` for one that any provider may offer."""
    model = agent["spec"]["model"]
    models = [model, *model.get("fallbacks", ())]
    return {f"{_namespace(agent)}/{one.get('provider') or ''}" for one in models}


def _prompt_source(agent: Object) -> Iterable[str]:
    """The ConfigMap that the prompt is in."""
    source = agent["spec"].get("systemPromptFrom")
    return (f"{_namespace(agent)}/{source['name']}",) if source else ()


def _prompt_version(revision: Object) -> Iterable[str]:
    name = (revision["metadata"].get("labels") or {}).get(names.PROMPT_VERSION)
    return (f"{_namespace(revision)}/{name}",) if name else ()


BY_PROMPT_VERSION = "prompt-version"
REVISION_LOOKUP = Lookup(REVISION, BY_PROMPT_VERSION, _prompt_version)


def revisions_with(prompt: Ref, index: Index) -> list[Ref]:
    """The revisions that refer to a prompt."""
    return index.by(REVISION, BY_PROMPT_VERSION, f"{prompt.namespace}/{prompt.name}")


BY_NAMESPACE = "namespace"
BY_SHARED_RUNTIME = "shared-runtime"
BY_PROVIDER = "provider"
BY_PROMPT_SOURCE = "prompt-source"
AGENT_LOOKUPS = (
    Lookup(AGENT, BY_NAMESPACE, lambda agent: (_namespace(agent),)),
    Lookup(AGENT, BY_SHARED_RUNTIME, _shared_runtime),
    Lookup(AGENT, BY_PROVIDER, _providers),
    Lookup(AGENT, BY_PROMPT_SOURCE, _prompt_source),
)
