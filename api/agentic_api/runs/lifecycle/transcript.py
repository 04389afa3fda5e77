"""What a stream of events amounts to: the messages, tool executions and output of a run.

The driver adds events as they arrive; the sweeper adds the persisted ones of a run whose replica has died.
"""

from collections.abc import Sequence

from agentic_api.runs.schemas import ERROR_CHARACTERS, OUTPUT_CHARACTERS, RunFailure, ToolExecution
from agentic_api.runs.states import RunStatus
from agentic_api.runs.storage.records import Closing, StoredEvent
from agentic_core.contract import (
    ErrorCode,
    Event,
    Failed,
    Final,
    Message,
    MessageDelta,
    MessageDone,
    RunError,
    ToolCall,
    ToolEnded,
    ToolStarted,
    UnknownEvent,
    Usage,
    UsageReported,
)

MESSAGE_CHARACTERS = 4 * 1024 * 1024
"""How much is kept of the text of a message that a runtime began and did not end: as much as fits into a line."""
UNANSWERED = "The run ended before this tool answered."
OUTCOMES: dict[str, RunStatus] = {
    ErrorCode.CANCELLED: RunStatus.CANCELLED,
    ErrorCode.INTERRUPTED: RunStatus.INTERRUPTED,
}
"""Codes of errors that have a status of their own; all others are failures."""


class Transcript:
    """The run so far."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tools: dict[str, ToolExecution] = {}
        self.usage = Usage()
        self.error: RunError | None = None
        self.output = ""
        self.ended = False
        self._partial: list[str] = []
        self._open: dict[str, None] = {}
        """Ids of calls without a result, in order: a runtime may send a hundred thousand at once."""

    def add(self, event: Event) -> None:
        """Add the next event."""
        match event:
            case MessageDelta():
                self._partial.append(event.text)
            case MessageDone():
                self._add_message(event.message)
            case ToolStarted():
                self._started(event.call)
            case ToolEnded():
                self._ended(event)
            case UsageReported():
                self.usage = self.usage + event.usage
            case Final():
                self.output, self.ended = event.output, True
                self._complete(event.output)
            case Failed():
                self.fail(event.error)
            case UnknownEvent():
                pass

    def fail(self, error: RunError) -> None:
        """The run ends here without success; what there is of it stays."""
        self.error, self.ended = error, True
        self._complete("")
        self.output = next((item.content for item in reversed(self.messages) if item.role == "assistant"), "")

    @property
    def status(self) -> RunStatus:
        """How the run ended."""
        return OUTCOMES.get(self.error.code, RunStatus.FAILED) if self.error else RunStatus.SUCCEEDED

    def closing(self, events: Sequence[StoredEvent], *, last_seq: int) -> Closing:
        """The end of the run as it is to be stored; `events` are those that are not stored yet."""
        error = self.error
        return Closing(
            status=self.status,
            output=self.output,
            error=RunFailure(code=error.code, message=error.message[:ERROR_CHARACTERS]) if error else None,
            messages=self.messages,
            tools=list(self.tools.values()),
            events=events,
            last_seq=last_seq,
        )

    def _add_message(self, message: Message) -> None:
        self._partial.clear()
        self.messages.append(message)
        self._open = dict.fromkeys(call.id for call in message.tool_calls)

    def _started(self, call: ToolCall) -> None:
        self.tools[call.id] = ToolExecution(
            id=call.id, name=call.name, arguments=call.arguments, result=None, is_error=False, duration_ms=0
        )

    def _ended(self, event: ToolEnded) -> None:
        if event.id not in self.tools:
            self._started(ToolCall(id=event.id, name=event.name))
        self.tools[event.id] = self.tools[event.id].model_copy(
            update={"result": event.content, "is_error": event.is_error, "duration_ms": event.duration_ms}
        )
        self._add_result(event.id, event.content, is_error=event.is_error)

    def _add_result(self, call_id: str, content: str, *, is_error: bool) -> None:
        if call_id not in self._open:
            return  # no message contains the call: models would refuse a conversation with its result
        del self._open[call_id]
        self.messages.append(Message(role="tool", content=content, tool_call_id=call_id, is_error=is_error))

    def _complete(self, output: str) -> None:
        """Leave a conversation that can go on: the text in progress is a message, and every call has a result.

        An output that a summary cuts is a message too, so that all of it can be read.
        """
        for call_id in list(self._open):
            self._add_result(call_id, UNANSWERED, is_error=True)
        text = "".join(self._partial)[:MESSAGE_CHARACTERS]
        self._partial.clear()
        if text:
            self.messages.append(Message(role="assistant", content=text))
        written = [message.content for message in self.messages if message.role == "assistant"]
        if output and (not written or (len(output) > OUTPUT_CHARACTERS and output not in written)):
            self.messages.append(Message(role="assistant", content=output))
