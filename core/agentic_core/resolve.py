"""Resolution: an Agent and all it refers to becomes a Definition, or a list of problems. Pure; reads no cluster.

The operator's Agent controller calls it, and so does whatever has to find out what an agent would be.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from agentic_core.builtins import BUILTIN, BUILTINS, DEFAULT_POLICY
from agentic_crds.agent import AgentSpec, ModelRef, RuntimeMode
from agentic_crds.agent_revision import MAX_PROMPT, Definition, DefinitionTool, ResolvedModel
from agentic_crds.base import ConfigMapKeyRef
from agentic_crds.model_provider import ModelProviderSpec, ProviderType

MAX_DEFINITION = 1_200_000
"""Bytes of a definition's JSON: an AgentRevision has to fit into etcd's request limit of 1.5 MiB."""
MAX_LISTED = 8
"""How many names an error message lists."""


@dataclass(frozen=True)
class ResolutionProblem:
    """Why an agent cannot be resolved: a word for programs, a sentence that says what to do for people."""

    reason: str
    message: str


@dataclass(frozen=True)
class Surroundings:
    """What an agent may refer to."""

    namespace: str
    providers: Mapping[str, ModelProviderSpec] = field(default_factory=dict[str, ModelProviderSpec])
    """The ModelProviders of the namespace by name."""
    prompts: Mapping[str, str] | None = None
    """Data of the ConfigMap that systemPromptFrom names; None when it does not exist."""
    allowed_models: Sequence[str] = ("*",)
    """Patterns of the models that the tenant may call."""
    installed_tools: frozenset[str] = frozenset()
    """Names of the tools in the platform's runtime image."""


@dataclass(frozen=True)
class Resolution:
    """A definition and its hash, or the problems that prevent one."""

    definition: Definition | None = None
    digest: str = ""
    """SHA-256 of the definition's canonical JSON, as hex digits."""
    problems: tuple[ResolutionProblem, ...] = ()


def resolve(agent: AgentSpec, around: Surroundings) -> Resolution:
    """The definition of an agent in its surroundings."""
    problems: list[ResolutionProblem] = []
    prompt = _prompt(agent, around, problems.append)
    models = _models(agent, around, problems.append)
    tools = _tools(agent, around, problems.append)
    if problems:
        return Resolution(problems=tuple(problems))
    definition = Definition(
        system_prompt=prompt,
        wire=around.providers[models[0].provider].type,
        models=models,
        temperature=agent.model.temperature,
        max_output_tokens=agent.model.max_output_tokens,
        tools=tools,
        limits=agent.limits,
    )
    return _sized(definition)


def stored(definition: Definition) -> dict[str, Any]:
    """The definition as an AgentRevision keeps it and a run request sends it: what differs from its default.

    Limits are written out even where they are the default: they mean something, and a revision must not change its
    meaning when a default in code does. What is left out means nothing, so a new optional field changes no revision.
    """
    body = definition.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return body | {"limits": definition.limits.model_dump(mode="json", by_alias=True, exclude_none=True)}


def canonical(definition: Definition) -> bytes:
    """What the digest covers: the stored definition as JSON, keys sorted, no white space. Equal ones are the same."""
    return orjson.dumps(stored(definition), option=orjson.OPT_SORT_KEYS)


def model_allowed(patterns: Sequence[str], ref: str) -> bool:
    """Whether a tenant with these patterns may call the model `provider/name`; `*` stands for any text."""
    return any(_matches(pattern, ref) for pattern in patterns)


def _matches(pattern: str, text: str) -> bool:
    """Linear in the text whatever the pattern: it is written by people we do not trust."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    position = len(first)
    for part in middle:
        at = text.find(part, position)
        if at < 0:
            return False
        position = at + len(part)
    return text.startswith(first) and text.endswith(last) and len(text) - len(last) >= position


Report = Callable[[ResolutionProblem], None]


def _sized(definition: Definition) -> Resolution:
    body = canonical(definition)
    if len(body) > MAX_DEFINITION:
        message = f"The definition has {len(body)} bytes, more than {MAX_DEFINITION}; shorten the prompt"
        return Resolution(problems=(ResolutionProblem("PromptTooLarge", message),))
    return Resolution(definition=definition, digest=hashlib.sha256(body).hexdigest())


def _prompt(agent: AgentSpec, around: Surroundings, report: Report) -> str:
    ref = agent.system_prompt_from
    if ref is None:
        return agent.system_prompt or ""
    text = _referenced_prompt(ref, around, report)
    if len(text) > MAX_PROMPT:
        where = f"Key {ref.key} of ConfigMap {around.namespace}/{ref.name}"
        message = f"{where} has {len(text)} characters; a prompt may have {MAX_PROMPT}"
        report(ResolutionProblem("PromptTooLarge", message))
    return text


def _referenced_prompt(ref: ConfigMapKeyRef, around: Surroundings, report: Report) -> str:
    where = f"ConfigMap {around.namespace}/{ref.name}"
    if around.prompts is None:
        report(ResolutionProblem("PromptNotFound", f"{where} not found; systemPromptFrom refers to it"))
        return ""
    if ref.key not in around.prompts:
        report(ResolutionProblem("PromptNotFound", f"{where} has no key {ref.key}; it has {_listed(around.prompts)}"))
        return ""
    return around.prompts[ref.key]


def _models(agent: AgentSpec, around: Surroundings, report: Report) -> list[ResolvedModel]:
    refs: list[ModelRef] = [agent.model, *agent.model.fallbacks]
    found = [model for ref in refs if (model := _model(ref, around, report))]
    if len(found) == len(refs):
        _check_wires(found, around, report)
    return found


def _model(ref: ModelRef, around: Surroundings, report: Report) -> ResolvedModel | None:
    provider = _named_provider(ref, around, report) if ref.provider else _only_provider(ref, around, report)
    if provider is None:
        return None
    model = ResolvedModel(provider=provider, name=ref.name)
    if model_allowed(around.allowed_models, model.ref):
        return model
    allowed = _listed(around.allowed_models)
    report(
        ResolutionProblem("ModelNotAllowed", f"Model {model.ref} is not allowed for this tenant; allowed are {allowed}")
    )
    return None


def _named_provider(ref: ModelRef, around: Surroundings, report: Report) -> str | None:
    name = ref.provider or ""
    where = f"ModelProvider {around.namespace}/{name}"
    provider = around.providers.get(name)
    if provider is None:
        report(ResolutionProblem("ProviderNotFound", f"{where} not found"))
        return None
    if provider.model(ref.name) is None:
        offered = _listed(model.name for model in provider.models)
        report(ResolutionProblem("ModelNotOffered", f"Model {ref.name} is not offered by {where}; it offers {offered}"))
        return None
    return name


def _only_provider(ref: ModelRef, around: Surroundings, report: Report) -> str | None:
    offering = sorted(name for name, provider in around.providers.items() if provider.model(ref.name))
    if len(offering) == 1:
        return offering[0]
    if offering:
        message = f"Model {ref.name} is offered by several providers: {_listed(offering)}; set model.provider to one"
        report(ResolutionProblem("ProviderAmbiguous", message))
    elif around.providers:
        message = f"Model {ref.name} is not offered by any ModelProvider of namespace {around.namespace}"
        report(ResolutionProblem("ModelNotOffered", f"{message}; there are {_listed(sorted(around.providers))}"))
    else:
        message = f"Namespace {around.namespace} has no ModelProvider; create one that offers {ref.name}"
        report(ResolutionProblem("ProviderNotFound", message))
    return None


def _check_wires(models: Sequence[ResolvedModel], around: Surroundings, report: Report) -> None:
    first, *others = models
    spoken = around.providers[first.provider].type
    for other in others:
        wire = around.providers[other.provider].type
        if _protocol(wire) != _protocol(spoken):
            message = f"Fallback {other.ref} speaks {wire}, but {first.ref} speaks {spoken}; take one of the same type"
            report(ResolutionProblem("FallbackOfAnotherType", message))


def _protocol(wire: ProviderType) -> ProviderType:
    return ProviderType.OPENAI if wire == ProviderType.OPENAI_COMPATIBLE else wire


def _tools(agent: AgentSpec, around: Surroundings, report: Report) -> list[DefinitionTool]:
    own_image = agent.runtime.mode == RuntimeMode.DEDICATED and bool(agent.runtime.image)
    return [_builtin(tool.name, tool.builtin or "", around, None if own_image else report) for tool in agent.tools]


def _builtin(name: str, builtin: str, around: Surroundings, report: Report | None) -> DefinitionTool:
    """A tool of the runtime image. Without `report` the image is the user's own, whose tools are not declared to us."""
    if report is None:
        return DefinitionTool(name=name, kind=BUILTIN, builtin=builtin, policy=DEFAULT_POLICY)
    if builtin not in around.installed_tools:
        installed = _listed(sorted(around.installed_tools))
        report(ResolutionProblem("ToolNotInstalled", f"Tool {builtin} is not installed; installed are {installed}"))
    declared = BUILTINS.get(builtin)
    return DefinitionTool(
        name=name,
        kind=BUILTIN,
        builtin=builtin,
        description=declared.description if declared else "",
        input_schema=dict(declared.input_schema) if declared else None,
        policy=declared.policy if declared else DEFAULT_POLICY,
    )


def _listed(items: Iterable[str]) -> str:
    found = list(items)
    if not found:
        return "none"
    more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    return ", ".join(found[:MAX_LISTED]) + more
