"""Agents as JSON: what clients send and get. The same fields as the custom resource, spelled in snake_case."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentic_crds.agent import AgentModel, AgentRuntime, Autoscaling, Limits, ToolName
from agentic_crds.base import ConfigMapKeyRef, DNSLabel, ModelName


def _same(name: str) -> str:
    return name


SNAKE = ConfigDict(alias_generator=_same)
AgentName = Annotated[str, Field(min_length=1, max_length=52, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Capability = Annotated[str, Field(min_length=1, max_length=64)]


class AgentModelBody(AgentModel):
    """Which model answers, and how."""

    model_config = SNAKE


class LimitsBody(Limits):
    """Bounds of one run. They hold also in the middle of an answer."""

    model_config = SNAKE


class AutoscalingBody(Autoscaling):
    """Scaling of a Dedicated runtime by its load."""

    model_config = SNAKE


class RuntimeBody(AgentRuntime):
    """The pods that run the agent. All but the mode is for Dedicated."""

    model_config = SNAKE

    autoscaling: AutoscalingBody | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # frozen
    """Let the load decide the number of pods."""


class Body(BaseModel):
    """A JSON body: immutable, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AgentBody(Body):
    """An agent without its name."""

    description: Annotated[str, Field(max_length=1024)] = ""
    """What the agent is for."""
    capabilities: Annotated[list[Capability], Field(max_length=64)] = []
    """Words by which the agent is found."""
    system_prompt: Annotated[str, Field(max_length=1048576)] | None = None
    """The instructions of the agent. Long ones are kept in a ConfigMap beside it."""
    system_prompt_from: ConfigMapKeyRef | None = None
    """A ConfigMap in the agent's namespace that holds the instructions, instead of system_prompt."""
    model: ModelName | AgentModelBody
    """The model that answers: its name, or an object with provider, temperature and fallbacks."""
    tools: Annotated[list[ToolName], Field(max_length=64)] = []
    """Names of installed tools that the agent may call."""
    limits: LimitsBody | None = None
    """Bounds of one run."""
    resource_limits: LimitsBody | None = None
    """Another name of limits."""
    runtime: RuntimeBody = RuntimeBody()
    """The pods that run the agent."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.limits is not None and self.resource_limits is not None:
            raise ValueError("limits and resource_limits are the same thing: send one of them")
        if self.system_prompt is not None and self.system_prompt_from is not None:
            raise ValueError("system_prompt and system_prompt_from exclude each other")
        if len(set(self.tools)) < len(self.tools):
            raise ValueError("a tool is listed twice in tools")
        if len(set(self.capabilities)) < len(self.capabilities):
            raise ValueError("a word is listed twice in capabilities")
        return self


class NewAgent(AgentBody):
    """An agent to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "support",
                    "system_prompt": "You answer questions of customers.",
                    "model": {"provider": "anthropic", "name": "claude-sonnet-4", "temperature": 0.2},
                    "tools": ["http_fetch"],
                    "limits": {"max_tokens": 50000, "max_execution_time": 120},
                },
                {
                    "agent_id": "analyst-v1",
                    "capabilities": ["data_analysis", "visualization"],
                    "tools": ["calculator"],
                    "model": "claude-4-sonnet",
                    "system_prompt": "You analyse data.",
                    "resource_limits": {"max_tokens": 100000, "max_execution_time": 300},
                },
            ]
        }
    )

    name: AgentName | None = None
    """Name of the agent: lower case letters, digits and dashes."""
    agent_id: AgentName | None = None
    """Another name of name."""
    namespace: DNSLabel | None = None
    """A namespace of the tenant; its default one when empty."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.name is None) == (self.agent_id is None):
            raise ValueError("send the agent's name as name or as agent_id, one of them")
        return self

    @property
    def label(self) -> str:
        """The agent's name."""
        return self.name or self.agent_id or ""


class ChangedAgent(AgentBody):
    """An agent's whole new definition."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": {"name": "claude-sonnet-4"}, "system_prompt": "Answer in one line."}]}
    )


class AgentPatch(BaseModel):
    """A JSON merge patch (RFC 7386) of an agent's definition: what is absent stays, null resets to the default."""

    model_config = ConfigDict(
        extra="allow", frozen=True, json_schema_extra={"examples": [{"system_prompt": "Be brief."}]}
    )

    __pydantic_extra__: dict[str, Any]  # pyright: ignore[reportIncompatibleVariableOverride]  # as pydantic documents


class AgentState(BaseModel):
    """Whether the agent can run, and why not."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    ready: bool
    """Whether new runs are accepted."""
    reason: str
    """One word for programs: why."""
    message: str
    """A sentence for people: what is the case and what to do about it."""
    latest_revision: str | None
    """The revision of the current definition."""
    ready_revision: str | None
    """The revision that new runs use."""


class AgentView(BaseModel):
    """An agent."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    """`namespace.name`: the id from everywhere inside the tenant."""
    agent_id: str
    """The agent's name: the id inside the default namespace."""
    name: str
    """The agent's name."""
    namespace: str
    """The agent's namespace."""
    description: str
    """What the agent is for."""
    capabilities: list[str]
    """Words by which the agent is found."""
    system_prompt: str | None
    """The instructions, unless they are kept in a ConfigMap."""
    system_prompt_from: ConfigMapKeyRef | None
    """The ConfigMap that holds the instructions."""
    model: AgentModelBody
    """The model that answers."""
    tools: list[str]
    """Names of the tools that the agent may call."""
    limits: LimitsBody
    """Bounds of one run."""
    runtime: RuntimeBody
    """The pods that run the agent."""
    status: AgentState
    """Whether the agent can run, and why not."""
    created_at: datetime | None
    """When it was created."""
    version: str
    """Grows with every change of the definition; send it as If-Match to change only what you have seen."""
