"""The kind AgentRevision: an Agent with everything it refers to, resolved and immutable.

The operator writes it; the api sends its `definition` along with each run; the runtime is a function of it.
"""

from typing import Annotated

from pydantic import Field

from agentic_crds.agent import Limits, Temperature, ToolName
from agentic_crds.base import AGE, NUMERIC, Column, DNSLabel, Model, ModelName, Resource
from agentic_crds.model_provider import ProviderType
from agentic_crds.schema import CEL, SET_LIST


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


class Definition(Model):
    """All that a runtime needs to know of an agent."""

    system_prompt: Annotated[str, Field(max_length=1048576)] = ""
    """The instructions of the agent."""
    wire: ProviderType
    """The wire protocol that every model below speaks."""
    models: Annotated[list[ResolvedModel], Field(min_length=1, max_length=9)]
    """The model that answers, then its fallbacks in order."""
    temperature: Temperature | None = None
    """Sampling temperature."""
    max_output_tokens: Annotated[int, Field(ge=1, le=1000000), NUMERIC]
    """Most tokens of one answer of the model."""
    tools: Annotated[list[ToolName], Field(max_length=64), SET_LIST] = []
    """Names of installed tools."""
    limits: Limits
    """Bounds of one run."""


class AgentRevisionSpec(Model):
    """A resolved agent."""

    agent: DNSLabel
    """Name of the Agent."""
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the definition's canonical JSON; its first ten digits end the revision's name."""
    definition: Definition
    """The resolved definition."""


class AgentRevision(Resource):
    """An immutable, resolved version of an Agent. Written by the platform only."""

    kind_name = "AgentRevision"
    plural = "agentrevisions"
    short_names = ("agr",)
    columns = (
        Column(name="Agent", json_path=".spec.agent"),
        Column(name="Model", json_path=".spec.definition.models[0].name"),
        Column(name="Hash", json_path=".spec.hash", priority=1),
        AGE,
    )

    spec: Annotated[AgentRevisionSpec, CEL("self == oldSelf", "a revision is immutable")]
