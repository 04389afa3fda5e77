"""FROZEN: the contract as version 1 had it, copied with all that it stood on. Never edit; `test_versions` reads it.

It stands for running programs that are older than this tree: their readers, strict as they were, and their writers.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.alias_generators import to_camel

MOST_MILLISECONDS = 2**31 - 1


class Model(BaseModel):
    """A fragment of a custom resource."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        return {key: value for key, value in data.items() if value is not None or not cls._knows(key)}

    @classmethod
    def _knows(cls, key: str) -> bool:
        return any(key in (name, field.alias) for name, field in cls.model_fields.items())


def _number(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


def _distinct(items: list[str]) -> list[str]:
    if len(set(items)) < len(items):
        raise ValueError("items differ")
    return items


NUMERIC = BeforeValidator(_number)
DNSLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
ModelName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:/@]*$")]
ToolName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]


class ProviderType(StrEnum):
    """Which wire protocol the provider speaks."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    OPENAI_COMPATIBLE = "openaiCompatible"


class Limits(Model):
    """Bounds of one run."""

    max_tokens: Annotated[int, Field(ge=1, le=1000000000), NUMERIC] = 100000
    max_execution_time: Annotated[int, Field(ge=1, le=86400), NUMERIC] = 300
    max_iterations: Annotated[int, Field(ge=1, le=1000), NUMERIC] = 25


class ResolvedModel(Model):
    """A model of a provider that exists."""

    provider: DNSLabel
    name: ModelName


class Definition(Model):
    """All that a runtime needs to know of an agent."""

    system_prompt: Annotated[str, Field(max_length=1048576)] = ""
    wire: ProviderType
    models: Annotated[list[ResolvedModel], Field(min_length=1, max_length=9)]
    temperature: Annotated[float, Field(ge=0, le=2), NUMERIC] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=1000000), NUMERIC]
    tools: Annotated[list[ToolName], Field(max_length=64)] = []
    limits: Limits

    @model_validator(mode="after")
    def _tools_differ(self) -> "Definition":
        _distinct(self.tools)
        return self


class Wire(BaseModel):
    """A value on the wire."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ToolCall(Wire):
    """A call of a tool that the model asked for."""

    id: str
    name: str
    arguments: dict[str, Any] = {}


class Message(Wire):
    """A message of a conversation."""

    role: Literal["user", "assistant", "tool"]
    content: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str | None = None
    is_error: bool = False


class Usage(Wire):
    """Tokens of one or more model calls."""

    input_tokens: int = 0
    output_tokens: int = 0


class RunRequest(Wire):
    """All that a runtime needs for a run."""

    run_id: str
    tenant: str
    namespace: str
    agent: str
    revision: str
    conversation_id: str = ""
    definition: Definition
    messages: list[Message]


class MessageDelta(Wire):
    """A piece of the text of the message in progress."""

    type: Literal["message.delta"] = "message.delta"
    text: str


class MessageDone(Wire):
    """A whole assistant message."""

    type: Literal["message"] = "message"
    message: Message


class ToolStarted(Wire):
    """A tool starts."""

    type: Literal["tool.call"] = "tool.call"
    call: ToolCall


class ToolEnded(Wire):
    """A tool has answered or failed."""

    type: Literal["tool.result"] = "tool.result"
    id: str
    name: str
    content: str
    is_error: bool = False
    duration_ms: Annotated[int, Field(ge=0, le=MOST_MILLISECONDS)] = 0


class UsageReported(Wire):
    """Tokens of one model call."""

    type: Literal["usage"] = "usage"
    model: str
    usage: Usage


class Final(Wire):
    """The run succeeded."""

    type: Literal["final"] = "final"
    output: str


ErrorCode = Literal[
    "max_tokens_exceeded",
    "max_execution_time_exceeded",
    "max_iterations_exceeded",
    "model_failed",
    "model_not_allowed",
    "tool_not_installed",
    "definition_invalid",
    "runtime_draining",
    "runtime_unreachable",
    "runtime_protocol",
    "memory_exceeded",
    "cancelled",
    "interrupted",
    "internal",
]


class RunError(Wire):
    """Why a run failed."""

    code: ErrorCode
    message: str


class Failed(Wire):
    """The run failed."""

    type: Literal["error"] = "error"
    error: RunError


Event = MessageDelta | MessageDone | ToolStarted | ToolEnded | UsageReported | Final | Failed
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def read_request(body: bytes) -> RunRequest:
    """As the runtime read it."""
    return RunRequest.model_validate_json(body)


def read_event(line: bytes) -> Event:
    """As the api read it."""
    return EVENT.validate_json(line)


def write_request(request: RunRequest) -> bytes:
    """As the api wrote it: every field."""
    return request.model_dump_json(by_alias=True).encode()


def write_event(event: Event) -> bytes:
    """As the runtime wrote it: every field."""
    return EVENT.dump_json(event)
