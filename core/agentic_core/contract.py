"""The wire contract between api and runtime: one run request, a stream of events in response.

`POST /v1/run` with a `RunRequest` as JSON and the run token as bearer; the response is `application/x-ndjson`: one
`Event` a line, blank lines as keep-alive, ended by exactly one `final` or `error`. Closing the connection
cancels the run. A refusal has another status and is a `Refusal`; 429, 502, 503, 504 and the codes `runtime_busy` and
`runtime_draining` say that the run has not begun and can be sent again.
The api drives it, the runtime serves it, a user's own image of a Dedicated agent may serve it too.

The two programs may be of different ages, so that everything here can grow:

- Readers ignore unknown fields at every depth, keep unknown events, and take error codes as strings. They use
  `read_request`, `read_definition` and `read_event`.
- Writers send what is set: `write_request` and `line`. An optional field's default says nothing (None, empty, zero,
  false), so that it can be left out, and one that is new reaches no reader that is older than it.
- What a reader must not ignore raises `VERSION`.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from agentic_core.builtins import BUILTIN
from agentic_crds.agent_revision import Definition

VERSION = 2
"""The version of the contract that this code reads and writes.

It is raised when a reader that ignored the new part would do something wrong: a field that restricts, another shape or
meaning of an old one. A new optional field, event or error code that may be ignored does not raise it. `tests/contract`
keeps the models of each version. Version 2 made tools objects.
"""

RUN_PATH = "/v1/run"
NDJSON = "application/x-ndjson"
PROBLEM_JSON = "application/problem+json"
KEEPALIVE_SECONDS = 5.0
"""The runtime sends a blank line after this long without an event; the api gives up after three times as long."""
MAX_MILLISECONDS = 2**31 - 1
"""The longest duration that can be stored: a run whose events cannot be stored could never be closed."""
API_EVENTS = ("run.", "events.")
"""Prefixes of the events that the api adds for its clients; a runtime sends none of them."""


ValueT = TypeVar("ValueT")


def _always(value: ValueT) -> ValueT:
    """A default that writers send nevertheless: pydantic leaves none out that a function of the other fields makes."""
    made: ValueT = Field(default_factory=lambda _others: value)
    return made


class Wire(BaseModel):
    """A value on the wire: immutable; unknown fields of newer peers are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class ToolCall(Wire):
    """A tool call of the model."""

    id: str
    name: str
    arguments: dict[str, Any] = {}


class Message(Wire):
    """A message of a conversation."""

    role: Literal["user", "assistant", "tool"]
    content: str = ""
    tool_calls: list[ToolCall] = []
    """The tool calls of an assistant message."""
    tool_call_id: str | None = None
    """The call whose result a tool message is."""
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


def _of_version_1(definition: Any) -> Any:
    """Makes objects of tools that are names of builtins, as older apis send and older revisions have them."""
    tools = definition.get("tools") if isinstance(definition, dict) else None
    if not isinstance(tools, list) or not any(isinstance(tool, str) for tool in tools):
        return definition
    named = [{"name": tool, "kind": BUILTIN, "builtin": tool} if isinstance(tool, str) else tool for tool in tools]
    return definition | {"tools": named}


AnyDefinition = Annotated[Definition, BeforeValidator(_of_version_1)]
"""A definition as programs of any version wrote it."""
_DEFINITION: TypeAdapter[Definition] = TypeAdapter(AnyDefinition)


class RunRequest(Wire):
    """All that a runtime needs for a run."""

    version: int = 1
    """The contract version of the api, which determines the events that it reads."""
    requires: int = 1
    """The contract version that a runtime must support to carry this run out: the lowest that suffices."""
    run_id: str
    tenant: str
    namespace: str
    agent: str
    revision: str
    """Name of the AgentRevision."""
    conversation_id: str = ""
    """For traces."""
    definition: AnyDefinition
    messages: list[Message]
    """The conversation so far, the new input last."""


class MessageDelta(Wire):
    """More text of the message in progress."""

    type: Literal["message.delta"] = _always("message.delta")
    text: str


class MessageDone(Wire):
    """A whole assistant message: text, tool calls, or both."""

    type: Literal["message"] = _always("message")
    message: Message


class ToolStarted(Wire):
    """A tool starts."""

    type: Literal["tool.call"] = _always("tool.call")
    call: ToolCall


class ToolEnded(Wire):
    """A tool has returned or failed. The conversation continues with this content."""

    type: Literal["tool.result"] = _always("tool.result")
    id: str
    name: str
    content: str
    is_error: bool = False
    duration_ms: Annotated[int, Field(ge=0, le=MAX_MILLISECONDS)] = 0


class UsageReported(Wire):
    """Tokens of one model call."""

    type: Literal["usage"] = _always("usage")
    model: str
    usage: Usage


class Final(Wire):
    """The run succeeded."""

    type: Literal["final"] = _always("final")
    output: str


class ErrorCode(StrEnum):
    """Why a run did not succeed: the codes that the platform writes. Readers get strings, known or not."""

    MAX_TOKENS_EXCEEDED = "max_tokens_exceeded"
    MAX_EXECUTION_TIME_EXCEEDED = "max_execution_time_exceeded"
    MAX_ITERATIONS_EXCEEDED = "max_iterations_exceeded"
    MODEL_FAILED = "model_failed"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    TOOL_NOT_INSTALLED = "tool_not_installed"
    RUNTIME_BUSY = "runtime_busy"
    RUNTIME_DRAINING = "runtime_draining"
    RUNTIME_UNREACHABLE = "runtime_unreachable"
    RUNTIME_PROTOCOL = "runtime_protocol"
    VERSION_UNSUPPORTED = "contract_version_unsupported"
    MEMORY_EXCEEDED = "memory_exceeded"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


CODE_PATTERN = r"^[a-z][a-z0-9_.-]*$"
Code = Annotated[str, Field(max_length=64, pattern=CODE_PATTERN)]
"""An error code as it may come from a peer, bounded because it is stored, counted and shown."""


class RunError(Wire):
    """Why a run failed, for people and programs."""

    code: Code
    """One of `ErrorCode`, or what a newer or foreign peer says."""
    message: str


class Refusal(Wire):
    """What a runtime says that refuses a run: the part of problem+json (RFC 9457) that the api reads."""

    code: Code = ErrorCode.RUNTIME_PROTOCOL
    detail: str = ""


class Failed(Wire):
    """The run failed; what was produced before stands."""

    type: Literal["error"] = _always("error")
    error: RunError


def _not_of_the_api(name: str) -> str:
    if name.startswith(API_EVENTS):
        raise ValueError(f"events of a runtime do not begin with {' or '.join(API_EVENTS)}")
    return name


class UnknownEvent(Wire):
    """An event of a newer peer, kept with all its fields: stored and passed on, without an effect on the run."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(max_length=64, pattern=CODE_PATTERN), AfterValidator(_not_of_the_api)]


KnownEvent = MessageDelta | MessageDone | ToolStarted | ToolEnded | UsageReported | Final | Failed
Event = KnownEvent | UnknownEvent
_EVENT: TypeAdapter[KnownEvent] = TypeAdapter(Annotated[KnownEvent, Field(discriminator="type")])


def required_version(definition: Definition) -> int:
    """The lowest contract version whose readers understand a definition."""
    return 2 if definition.tools else 1


def write_request(request: RunRequest) -> bytes:
    """The request as a body: what is set, which of a stored definition is all that was stored, and our version."""
    versions = {"version": VERSION, "requires": required_version(request.definition)}
    return request.model_copy(update=versions).model_dump_json(by_alias=True, exclude_unset=True).encode()


def read_request(body: bytes) -> RunRequest:
    """The request of a body; raises pydantic's `ValidationError`. The definition, strict elsewhere, may have grown."""
    return RunRequest.model_validate_json(body, extra="ignore")


def read_definition(stored: Any) -> Definition:
    """The definition of an AgentRevision, which another version of the operator may have written."""
    return _DEFINITION.validate_python(stored, extra="ignore")


def line(event: Event) -> bytes:
    """The event as a line of the stream."""
    return event.model_dump_json(exclude_defaults=True).encode() + b"\n"


def read_event(text: bytes | str) -> Event:
    """The event of a line or of a stored payload; raises pydantic's `ValidationError`."""
    try:
        return _EVENT.validate_json(text)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_context=False, include_input=False)
        if first["type"] != "union_tag_invalid":
            raise
        return UnknownEvent.model_validate_json(text)
