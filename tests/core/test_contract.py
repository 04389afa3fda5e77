"""The stream between api and runtime: what is written is read back, unknown fields pass, garbage does not."""

import pytest
from pydantic import ValidationError

from agentic_core import contract

EVENTS = [
    contract.MessageDelta(text="Hé\n"),
    contract.MessageDone(
        message=contract.Message(
            role="assistant", content="", tool_calls=[contract.ToolCall(id="1", name="calculator", arguments={"x": 1})]
        )
    ),
    contract.ToolStarted(call=contract.ToolCall(id="1", name="calculator")),
    contract.ToolEnded(id="1", name="calculator", content="2", duration_ms=3),
    contract.UsageReported(model="local/smollm2", usage=contract.Usage(input_tokens=3, output_tokens=4)),
    contract.Final(output="2"),
    contract.Failed(error=contract.RunError(code="cancelled", message="The run was cancelled.")),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_line_is_read_back(event: contract.Event) -> None:
    written = contract.line(event)
    assert written.count(b"\n") == 1
    assert contract.EVENT.validate_json(written) == event


def test_fields_of_newer_peers_are_ignored() -> None:
    assert contract.EVENT.validate_json(b'{"type":"final","output":"x","new":1}') == contract.Final(output="x")


@pytest.mark.parametrize("text", [b"", b"{}", b'{"type":"other"}', b'{"type":"final"}', b"[1]", b"\xff"])
def test_what_is_no_event_is_refused(text: bytes) -> None:
    with pytest.raises(ValidationError):
        contract.EVENT.validate_json(text)


def test_the_sum_of_usages_adds_each_count() -> None:
    total = contract.Usage(input_tokens=1, output_tokens=2) + contract.Usage(input_tokens=10, output_tokens=20)
    assert total == contract.Usage(input_tokens=11, output_tokens=22)
