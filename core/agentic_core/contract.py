"""The wire contract between api and runtime: one run request, answered by a stream of events.

`POST /v1/run` with a `RunRequest` as JSON and the run token as bearer; the answer is `application/x-ndjson`: one
`Event` a line, blank lines as keep-alive, ended by exactly one `final` or `error`. Closing the connection
cancels the run.
The api drives it, the runtime serves it, a user's own image of a Dedicated agent may serve it too.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from agentic_crds.agent_revision import Definition

RUN_PATH = "/v1/run"
NDJSON = "application/x-ndjson"
KEEPALIVE_SECONDS = 5.0
"""The runtime sends a blank line when it was silent for this long; three times as long means it is gone."""
MOST_MILLISECONDS = 2**31 - 1
"""The longest duration that can be kept: a run whose events cannot be stored could never be closed."""


class Wire(BaseModel):
    """A value on the wire: immutable; unknown fields of newer peers are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


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
    """Calls that an assistant message asks for."""
    tool_call_id: str | None = None
    """Which call a tool message answers."""
    is_error: bool = False
    """Whether a tool message reports a failure."""


class Usage(Wire):
    """Tokens of one or more model calls."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class RunRequest(Wire):
    """All that a runtime needs for a run."""

    run_id: str
    tenant: str
    namespace: str
    agent: str
    revision: str
    """Name of the AgentRevision; compiled agents are kept by its hash."""
    conversation_id: str = ""
    """For traces; empty from an api that does not tell it."""
    definition: Definition
    messages: list[Message]
    """The conversation so far, the new input last."""


class MessageDelta(Wire):
    """A piece of the text of the message in progress."""

    type: Literal["message.delta"] = "message.delta"
    text: str


class MessageDone(Wire):
    """A whole assistant message: text, tool calls, or both."""

    type: Literal["message"] = "message"
    message: Message


class ToolStarted(Wire):
    """A tool starts."""

    type: Literal["tool.call"] = "tool.call"
    call: ToolCall


class ToolEnded(Wire):
    """A tool has answered or failed. The conversation continues with this content."""

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
"""Why a run did not succeed."""


class RunError(Wire):
    """Why a run failed, for people and programs."""

    code: ErrorCode
    message: str


class Failed(Wire):
    """The run failed; what was produced before stands."""

    type: Literal["error"] = "error"
    error: RunError


Event = MessageDelta | MessageDone | ToolStarted | ToolEnded | UsageReported | Final | Failed
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
"""Parses and writes one event: `EVENT.validate_json(line)`, `EVENT.dump_json(event)`."""


def line(event: Event) -> bytes:
    """The event as a line of the stream."""
    return EVENT.dump_json(event, exclude_defaults=False) + b"\n"
