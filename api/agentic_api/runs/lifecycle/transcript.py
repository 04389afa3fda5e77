"""What a stream of events amounts to: the messages, tool executions and output of a run.

The driver adds events as they arrive; the sweeper adds the persisted ones of a run whose replica has died.
"""

from agentic_api.runs.schemas import Status, ToolExecution
from agentic_core.contract import (
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
    Usage,
    UsageReported,
)

UNANSWERED = "The run ended before this tool answered."
OUTCOMES: dict[str, Status] = {"cancelled": Status.CANCELLED, "interrupted": Status.INTERRUPTED}
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
        self._asked: dict[str, None] = {}
        """Ids of calls that no tool message answers yet, in order: a runtime may ask for a hundred thousand at once."""

    def add(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case MessageDelta():
                self._partial.append(event.text)
            case MessageDone():
                self._said(event.message)
            case ToolStarted():
                self._started(event.call)
            case ToolEnded():
                self._ended(event)
            case UsageReported():
                self.usage = self.usage + event.usage
            case Final():
                self.output, self.ended = event.output, True
                self._settle(event.output)
            case Failed():
                self.fail(event.error)

    def fail(self, error: RunError) -> None:
        """The run ends here without success; what there is of it stays."""
        self.error, self.ended = error, True
        self._settle("")
        self.output = next((item.content for item in reversed(self.messages) if item.role == "assistant"), "")

    @property
    def status(self) -> Status:
        """How the run ended."""
        return OUTCOMES.get(self.error.code, Status.FAILED) if self.error else Status.SUCCEEDED

    def _said(self, message: Message) -> None:
        self._partial.clear()
        self.messages.append(message)
        self._asked = dict.fromkeys(call.id for call in message.tool_calls)

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
        self._answer(event.id, event.content, is_error=event.is_error)

    def _answer(self, call_id: str, content: str, *, is_error: bool) -> None:
        if call_id not in self._asked:
            return  # nobody asked: as a message, models would refuse the conversation
        del self._asked[call_id]
        self.messages.append(Message(role="tool", content=content, tool_call_id=call_id, is_error=is_error))

    def _settle(self, output: str) -> None:
        """Leave a conversation that can go on: the text in progress is said, and every call has an answer."""
        for call_id in list(self._asked):
            self._answer(call_id, UNANSWERED, is_error=True)
        text = "".join(self._partial)
        self._partial.clear()
        if not text and output and not any(message.role == "assistant" for message in self.messages):
            text = output
        if text:
            self.messages.append(Message(role="assistant", content=text))


def of(events: list[Event], error: RunError) -> Transcript:
    """The transcript of a run that ended with `error` after these events, unless they contain its end."""
    transcript = Transcript()
    for event in events:
        transcript.add(event)
    if not transcript.ended:
        transcript.fail(error)
    return transcript
