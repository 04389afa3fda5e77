"""Agents as JSON: what clients send and get. The fields of the custom resource in snake_case, and what differs."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentic_api.resources.snake import Shorthand, Twins
from agentic_crds import Agent
from agentic_crds.agent import AgentModel, AgentTool, BuiltinName, Limits
from agentic_crds.base import DNSLabel, ModelName

if TYPE_CHECKING:
    from agentic_crds.agent import AgentSpec as SpecBody
    from agentic_crds.agent import AgentSpec as SpecView
    from agentic_crds.agent import Limits as LimitsBody
else:
    SHORTHANDS = {
        AgentModel: Shorthand(ModelName, lambda name: {"name": name}),
        AgentTool: Shorthand(BuiltinName, lambda name: {"name": name, "builtin": name}),
    }
    """The model by its name, installed tools by theirs."""
    BODY = Twins("Body", SHORTHANDS)
    SpecBody, LimitsBody = BODY.spec(Agent), BODY.of(Limits)
    SpecView = Twins("View").spec(Agent)

AgentName = Annotated[str, Field(min_length=1, max_length=52, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class AgentBody(SpecBody):
    """An agent without its name."""

    system_prompt: Annotated[str, Field(max_length=1048576)] | None = None
    """The instructions of the agent. Long ones are kept in a ConfigMap beside it."""
    resource_limits: LimitsBody | None = None
    """Another name of limits."""

    @model_validator(mode="after")
    def _limited_once(self) -> Self:
        if self.resource_limits is not None and "limits" in self.model_fields_set:
            raise ValueError("limits and resource_limits are the same thing: send one of them")
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


class AgentView(SpecView):
    """An agent."""

    id: str
    """`namespace.name`: the id from everywhere inside the tenant."""
    agent_id: str
    """The agent's name: the id inside the default namespace."""
    name: str
    """The agent's name."""
    namespace: str
    """The agent's namespace."""
    status: AgentState
    """Whether the agent can run, and why not."""
    created_at: datetime | None
    """When it was created."""
    version: str
    """Grows with every change of the definition; send it as If-Match to change only what you have seen."""
