"""Runs as clients send and get them; endpoints parse and return them, driver and repository make them."""

from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from agentic_api.runs.states import RunStatus
from agentic_core.contract import Message, ToolCall

MAX_CHARACTERS = 1_000_000
"""Maximum of characters of all messages of a request."""
MAX_MESSAGES = 256
"""Maximum of messages of a request."""
INLINE_BYTES = 1024 * 1024
"""A run whose JSON is larger is not sent as a whole: its messages and tool calls come in pages."""
OUTPUT_CHARACTERS = 32 * 1024
"""How much of the output the summary of a run has."""
ERROR_CHARACTERS = 4096
"""How much is kept of the message of an error."""

Cost = Annotated[
    Decimal, PlainSerializer(lambda value: f"{value.normalize():f}", return_type=str), Field(examples=["0.00042"])
]
"""US dollars as a decimal string."""


class View(BaseModel):
    """A value that clients send or get."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class InputMessage(View):
    """A message of a request."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"] = "user"
    """The role of its author."""
    content: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
    """The text."""


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
    """Continue this conversation of the same agent; without it a new one begins."""
    stream: bool = False
    """Respond with server-sent events while the run goes on, as `Accept: text/event-stream` also does."""
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

    def added(self) -> list[Message]:
        """The messages that the request adds to the conversation."""
        if self.messages is None:
            return [Message(role="user", content=self.input or "")]
        return [Message(role=message.role, content=message.content) for message in self.messages]


class RunMessage(View):
    """A message of a conversation."""

    role: Literal["user", "assistant", "tool"]
    """The role of its author."""
    content: str
    """The text."""
    tool_calls: list[ToolCall] = []
    """Calls of tools that an assistant message contains."""
    tool_call_id: str | None = None
    """The call whose result a tool message is."""
    is_error: bool = False
    """Whether a tool message reports a failure."""


class ToolExecution(View):
    """A call of a tool."""

    id: str
    """The model's id of the call."""
    name: str
    """Name of the tool."""
    arguments: dict[str, Any]
    """The arguments that the model gave."""
    result: str | None
    """The result of the tool; null when the run ended first."""
    is_error: bool
    """Whether the tool failed."""
    duration_ms: int
    """How long it took."""


class RunUsage(View):
    """Tokens of all model calls of a run."""

    input_tokens: int = 0
    output_tokens: int = 0


class RunFailure(View):
    """Why a run did not succeed."""

    code: str
    """The reason for programs, for example max_tokens_exceeded or runtime_unreachable."""
    message: str
    """What happened, for people."""


class RunSummary(View):
    """A run without its messages and tool calls."""

    id: UUID
    status: RunStatus
    agent: str
    """The agent as `namespace.name`."""
    revision: str
    """Name of the AgentRevision that ran."""
    conversation_id: UUID
    parent_run_id: UUID | None = None
    """The run that this one is a part of; null for a run of its own, or when that run was deleted."""
    output: str
    """The output of the agent; as far as there is one when the run did not succeed."""
    output_truncated: bool = False
    """Whether only the start of the output is here; all of it is in the run's messages."""
    usage: RunUsage
    """Tokens, as the model gateway counted them."""
    cost: Cost
    """US dollars of all model calls."""
    trace_id: str
    """The trace of the run; empty when it is not traced."""
    error: RunFailure | None
    """Why the run did not succeed."""
    metadata: dict[str, str]
    """Your own labels."""
    created_at: datetime
    finished_at: datetime | None

    @cached_property
    def encoded(self) -> bytes:
        """As JSON, made once for all requests that wait for the run."""
        return self.model_dump_json().encode()


class Run(RunSummary):
    """One execution of an agent."""

    messages: list[RunMessage]
    """What this run added to the conversation, its input included."""
    messages_truncated: bool = False
    """Whether only the first messages are here; `GET /api/v1/runs/{run_id}/messages` has all of them."""
    tool_calls: list[ToolExecution]
    """The tools that ran."""
    tool_calls_truncated: bool = False
    """Whether only the first tool calls are here; `GET /api/v1/runs/{run_id}/tool_calls` has all of them."""

    def summary(self) -> RunSummary:
        """The run without its messages and tool calls, and with the start of a long output."""
        values = {name: getattr(self, name) for name in RunSummary.model_fields}
        values |= {"output": self.output[:OUTPUT_CHARACTERS]}
        values |= {"output_truncated": self.output_truncated or len(self.output) > OUTPUT_CHARACTERS}
        return RunSummary.model_construct(**values)

    def bounded(self) -> RunSummary:
        """The run itself when all of it fits into a response, else its summary."""
        truncated = self.output_truncated or self.messages_truncated or self.tool_calls_truncated
        if truncated or self._characters() > INLINE_BYTES:
            return self.summary()
        return self if len(self.encoded) <= INLINE_BYTES else self.summary()

    def _characters(self) -> int:
        """A lower bound of the size, so that a run which is far too large is not encoded to be measured."""
        return len(self.output) + sum(len(message.content) for message in self.messages)
