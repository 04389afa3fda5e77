"""What clients send and see of runs; the endpoints parse and answer with it, the driver fills it in."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from agentic_core.contract import Message, ToolCall

MAX_CHARACTERS = 1_000_000
"""Most characters of all messages of a request."""
MAX_MESSAGES = 256
"""Most messages of a request."""

Cost = Annotated[
    Decimal, PlainSerializer(lambda value: f"{value.normalize():f}", return_type=str), Field(examples=["0.00042"])
]
"""US dollars as a decimal string."""


class Status(StrEnum):
    """Where a run is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """What drove the run is gone; what was produced before stands."""


class View(BaseModel):
    """A value that clients see or send."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class InputMessage(View):
    """A message that the client brings."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"] = "user"
    """Who said it."""
    content: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
    """What was said."""


class Execute(View):
    """A task for an agent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"input": "What is 6 times 7?"}, {"input": "And 7 times 8?", "stream": True}]},
    )

    input: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)] | None = None
    """The task as text. Either this or `messages`."""
    messages: Annotated[list[InputMessage], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    """The task as messages, the last one of the user."""
    conversation_id: UUID | None = None
    """Continue this conversation of the same agent; a new one is begun without it."""
    stream: bool = False
    """Answer with server-sent events while the run goes on, as `Accept: text/event-stream` also does."""
    metadata: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=512)]],
        Field(max_length=16),
    ] = {}
    """Labels of your own, kept with the run."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.input is None) == (self.messages is None):
            raise ValueError("give either input or messages")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last of messages must have the role user")
        if sum(len(message.content) for message in self.messages or ()) > MAX_CHARACTERS:
            raise ValueError(f"messages have more than {MAX_CHARACTERS} characters together")
        return self

    def said(self) -> list[Message]:
        """The new messages of the conversation."""
        if self.messages is None:
            return [Message(role="user", content=self.input or "")]
        return [Message(role=message.role, content=message.content) for message in self.messages]


class RunMessage(View):
    """A message of a conversation."""

    role: Literal["user", "assistant", "tool"]
    """Who said it."""
    content: str
    """What was said."""
    tool_calls: list[ToolCall] = []
    """Tools that an assistant message asks for."""
    tool_call_id: str | None = None
    """Which call a tool message answers."""
    is_error: bool = False
    """Whether a tool message reports a failure."""


class ToolExecution(View):
    """A call of a tool."""

    id: str
    """The model's id of the call."""
    name: str
    """Name of the tool."""
    arguments: dict[str, Any]
    """What the model passed."""
    result: str | None
    """What the tool answered; null when the run ended first."""
    is_error: bool
    """Whether the tool failed."""
    duration_ms: int
    """How long it took."""


class RunUsage(View):
    """Tokens of all model calls of a run."""

    input_tokens: int = 0
    output_tokens: int = 0


class Failure(View):
    """Why a run did not succeed."""

    code: str
    """The reason for programs, for example max_tokens_exceeded or runtime_unreachable."""
    message: str
    """What happened, for people."""


class RunSummary(View):
    """A run in a list."""

    id: UUID
    status: Status
    agent: str
    """The agent as `namespace.name`."""
    revision: str
    """Name of the AgentRevision that ran."""
    conversation_id: UUID
    output: str
    """The answer; what there is of it when the run did not succeed."""
    usage: RunUsage
    """Tokens, as the model gateway counted them."""
    cost: Cost
    """US dollars of all model calls."""
    trace_id: str
    """The trace of the run; empty when it is not traced."""
    error: Failure | None
    """Why the run did not succeed."""
    metadata: dict[str, str]
    """Your own labels."""
    created_at: datetime
    finished_at: datetime | None


class Run(RunSummary):
    """One execution of an agent."""

    messages: list[RunMessage]
    """What this run added to the conversation, its input included."""
    tool_calls: list[ToolExecution]
    """The tools that ran."""

    @cached_property
    def encoded(self) -> bytes:
        """As JSON, made once for all who wait for the run."""
        return self.model_dump_json().encode()
