"""What events amount to, as a table."""

import time

import pytest

from agentic_api.runs.lifecycle import transcript
from agentic_api.runs.lifecycle.sweep import INTERRUPTED, StoredTranscript
from agentic_api.runs.lifecycle.transcript import Transcript
from agentic_api.runs.states import RunStatus
from agentic_api.runs.storage.records import Closing, StoredEvent
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
)

CALL = ToolCall(id="1", name="calculator", arguments={"a": 1})
ASKED = MessageDone(message=Message(role="assistant", content="let me see", tool_calls=[CALL]))
ANSWERED = ToolEnded(id="1", name="calculator", content="2", duration_ms=5)
SAID = MessageDone(message=Message(role="assistant", content="it is 2"))
TOO_SLOW = RunError(code="max_execution_time_exceeded", message="slow")
OPEN = transcript.UNANSWERED


def interrupted(events: list[Event]) -> Transcript:
    """A run that these events are left of."""
    found = Transcript()
    for event in events:
        found.add(event)
    if not found.ended:
        found.fail(INTERRUPTED)
    return found


@pytest.mark.parametrize(
    ("events", "status", "output", "messages"),
    [
        ([SAID, Final(output="it is 2")], "succeeded", "it is 2", ["it is 2"]),
        ([MessageDelta(text="it "), MessageDelta(text="is 2"), SAID, Final(output="x")], "succeeded", "x", ["it is 2"]),
        ([Final(output="only")], "succeeded", "only", ["only"]),
        ([Final(output="")], "succeeded", "", []),
        ([], "interrupted", "", []),
        ([MessageDelta(text="half")], "interrupted", "half", ["half"]),
        ([ASKED, ToolStarted(call=CALL)], "interrupted", "let me see", ["let me see", OPEN]),
        ([ASKED, ToolStarted(call=CALL), ANSWERED], "interrupted", "let me see", ["let me see", "2"]),
        ([ASKED, ANSWERED, SAID, Final(output="it is 2")], "succeeded", "it is 2", ["let me see", "2", "it is 2"]),
        ([ANSWERED, Final(output="x")], "succeeded", "x", ["x"]),
        ([SAID, Failed(error=TOO_SLOW)], "failed", "it is 2", ["it is 2"]),
        ([Failed(error=RunError(code="cancelled", message=""))], "cancelled", "", []),
    ],
)
def test_events_of_a_run_give_its_status_output_and_messages(
    events: list[Event], status: str, output: str, messages: list[str]
) -> None:
    found = interrupted(events)
    assert (found.status.value, found.output) == (status, output)
    assert [item.content for item in found.messages] == messages


def test_tools_that_ended_and_that_did_not() -> None:
    found = interrupted([ASKED, ToolStarted(call=CALL)])
    assert [(tool.name, tool.arguments, tool.result) for tool in found.tools.values()] == [
        ("calculator", {"a": 1}, None)
    ]
    found = interrupted([ASKED, ToolStarted(call=CALL), ANSWERED])
    assert [(tool.result, tool.duration_ms) for tool in found.tools.values()] == [("2", 5)]


def swept(*events: Event) -> Closing:
    """How a run is closed of which these events were stored."""
    found = StoredTranscript()
    for number, event in enumerate(events, 1):
        found.add(StoredEvent(number, event.type, event.model_dump_json()))
    return found.closing()


def test_an_interruption_adds_its_error_to_the_events() -> None:
    closing = swept(MessageDelta(text="half"))
    assert (closing.status, closing.output, closing.last_seq) == (RunStatus.INTERRUPTED, "half", 2)
    assert [(event.seq, event.type) for event in closing.events] == [(2, "error")]
    assert swept().last_seq == 1


def test_a_run_whose_end_was_stored_ends_as_it_did() -> None:
    closing = swept(SAID, Final(output="it is 2"))
    assert (closing.status, closing.error, closing.events, closing.last_seq) == (RunStatus.SUCCEEDED, None, [], 2)


def test_a_hundred_thousand_open_calls_do_not_hold_up_the_runs_of_others() -> None:
    calls = [ToolCall(id=str(number), name="calculator") for number in range(100_000)]
    started = time.process_time()
    found = interrupted([MessageDone(message=Message(role="assistant", tool_calls=calls))])
    assert time.process_time() - started < 20, "each call was compared with all others"
    assert len(found.messages) == 100_001
