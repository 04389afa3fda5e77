"""The kind AgentRevision: an Agent with everything it refers to, resolved and immutable.

The operator writes it; the api sends its definition along with each run; the runtime is a function of it. A long
prompt is kept beside it, as a `PromptVersion`.
"""

from typing import Annotated, Any

from pydantic import Field

from agentic_crds.agent import BuiltinName, Limits, Temperature, ToolName
from agentic_crds.base import AGE, NUMERIC, Column, DNSLabel, Model, ModelName, Resource, Sha256
from agentic_crds.model_provider import ProviderType
from agentic_crds.schema import CEL, exactly_one, map_list

MAX_PROMPT = 1048576
"""Characters of a prompt."""


class ResolvedModel(Model):
    """A model of a provider that exists."""

    provider: DNSLabel
    """Name of the ModelProvider in the revision's namespace."""
    name: ModelName
    """The provider's own name of the model."""

    @property
    def ref(self) -> str:
        """`provider/name`: what the gateway expects as the model of a request."""
        return f"{self.provider}/{self.name}"


class ToolPolicy(Model):
    """How calls of a tool are bounded. The limits of the run hold as well."""

    timeout_seconds: Annotated[int, Field(ge=1, le=86400), NUMERIC] | None = None
    """Seconds that a call may take."""
    max_result_bytes: Annotated[int, Field(ge=1, le=16777216), NUMERIC] | None = None
    """Longest result that the model gets, in bytes of UTF-8; the rest is cut off."""


class DefinitionTool(Model):
    """A tool as the model sees it, and what carries its calls out."""

    name: ToolName
    """Name by which the model calls it."""
    kind: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z][A-Za-z0-9]*$")]
    """What carries calls out: builtin is a tool of the runtime image. A runtime refuses kinds that it does not have."""
    builtin: BuiltinName | None = None
    """For kind builtin: the tool's name in the runtime image; empty when it is the same name."""
    description: Annotated[str, Field(max_length=16384)] = ""
    """What it does, for the model; the runtime's own words when empty."""
    input_schema: dict[str, Any] | None = None
    """JSON Schema of the arguments; the runtime's own when empty."""
    policy: ToolPolicy | None = None
    """How calls are bounded; the runtime's own bounds when empty."""


class DefinitionWithoutPrompt(Model):
    """All that a runtime needs of an agent, but the prompt.

    It can grow without a new revision of any agent: `agentic_core.resolve.stored` leaves out optional fields that have
    their default. So the default of an optional field says nothing (None, empty, false), now and for ever. Numbers that
    mean something are required here or, as limits and policies, written out, so that no default in code can change what
    a revision means.
    """

    wire: ProviderType
    """The wire protocol that every model below speaks."""
    models: Annotated[list[ResolvedModel], Field(min_length=1, max_length=9)]
    """The model that answers, then its fallbacks in order."""
    temperature: Temperature | None = None
    """Sampling temperature."""
    max_output_tokens: Annotated[int, Field(ge=1, le=1000000), NUMERIC]
    """Maximum number of tokens in one response of the model."""
    tools: Annotated[list[DefinitionTool], Field(max_length=64), map_list("name")] = []
    """What the model may call."""
    limits: Limits
    """Bounds of one run."""


class Definition(DefinitionWithoutPrompt):
    """All that a runtime needs of an agent."""

    system_prompt: Annotated[str, Field(max_length=MAX_PROMPT)] = ""
    """The instructions of the agent."""


class AgentRevisionSpec(Model):
    """A resolved agent."""

    agent: DNSLabel
    """Name of the Agent."""
    hash: Sha256
    """SHA-256 of the whole definition as JSON, keys sorted and no white space; its first ten digits end the name."""
    definition: Definition | None = None
    """The resolved definition, when its prompt is short."""
    definition_without_prompt: DefinitionWithoutPrompt | None = None
    """Else the resolved definition but for its prompt. Its own field, so that what cannot read it runs nothing."""
    prompt_sha256: Sha256 | None = None
    """SHA-256 of the prompt that belongs to it: the PromptVersion in the same namespace has the text."""


class AgentRevision(Resource):
    """An immutable, resolved version of an Agent. Written by the platform only."""

    kind_name = "AgentRevision"
    plural = "agentrevisions"
    short_names = ("agr",)
    columns = (
        Column(name="Agent", json_path=".spec.agent"),
        Column(name="Model", json_path=".spec.*.models[0].name"),
        Column(name="Hash", json_path=".spec.hash", priority=1),
        AGE,
    )

    spec: Annotated[
        AgentRevisionSpec,
        CEL("self == oldSelf", "a revision is immutable"),
        exactly_one("definition", "definition_without_prompt"),
        CEL(
            "has(self.definitionWithoutPrompt) == has(self.promptSha256)",
            "definitionWithoutPrompt and promptSha256 belong together",
            lambda spec: (spec.definition_without_prompt is None) == (spec.prompt_sha256 is None),
        ),
    ]
