"""The stream between api and runtime: what is written is read back, unknown fields pass, garbage does not."""

import orjson
import pytest
from pydantic import ValidationError

from agentic_core import contract
from agentic_crds.agent_revision import Definition

MODEL = {"provider": "p", "name": "m"}
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
    assert contract.read_event(written) == event


def test_a_line_has_its_type_and_what_is_set() -> None:
    assert contract.line(contract.Final(output="")) == b'{"type":"final","output":""}\n'
    ended = contract.ToolEnded(id="1", name="a", content="", is_error=False)
    assert contract.line(ended) == b'{"type":"tool.result","id":"1","name":"a","content":""}\n'


def test_a_request_has_what_is_set() -> None:
    definition = Definition.model_validate({"wire": "openai", "models": [MODEL], "maxOutputTokens": 1, "limits": {}})
    request = contract.RunRequest(
        run_id="r", tenant="t", namespace="n", agent="a", revision="v", definition=definition,
        messages=[contract.Message(role="user", content="")],
    )  # fmt: skip
    assert orjson.loads(contract.write_request(request)) == {
        "version": contract.VERSION, "requires": 1,
        "run_id": "r", "tenant": "t", "namespace": "n", "agent": "a", "revision": "v",
        "definition": {"wire": "openai", "models": [MODEL], "maxOutputTokens": 1, "limits": {}},
        "messages": [{"role": "user", "content": ""}],
    }  # fmt: skip


def test_unknown_fields_are_ignored_at_every_depth() -> None:
    definition = {
        "wire": "openai", "models": [MODEL | {"new": 1}], "maxOutputTokens": 1,
        "limits": {"maxTokens": 5, "new": None}, "new": {"deep": [1]},
    }  # fmt: skip
    message = {"role": "assistant", "tool_calls": [{"id": "1", "name": "a", "new": 1}], "new": 1}
    names = dict.fromkeys(("run_id", "tenant", "namespace", "agent", "revision"), "x")
    body = names | {"definition": definition, "messages": [message], "new": 1}
    read = contract.read_request(orjson.dumps(body))
    assert read.definition.limits.max_tokens == 5
    assert read.messages[0].tool_calls == [contract.ToolCall(id="1", name="a")]
    event = (
        b'{"type":"message","message":{"role":"assistant","tool_calls":[{"id":"1","name":"a","new":1}],"new":1},"n":1}'
    )
    assert contract.read_event(event) == contract.MessageDone(message=read.messages[0])


def test_what_users_write_stays_strict() -> None:
    with pytest.raises(ValidationError):
        Definition.model_validate({"wire": "openai", "models": [MODEL], "maxOutputTokens": 1, "limits": {}, "new": 1})


def test_an_unknown_event_is_kept_as_it_is() -> None:
    text = b'{"type":"thought","text":"hm","deep":{"a":[1,null]},"is_error":false}'
    event = contract.read_event(text)
    assert isinstance(event, contract.UnknownEvent)
    assert event.type == "thought"
    assert contract.line(event) == text + b"\n"
    assert event.model_dump_json().encode() == text


def test_an_unknown_error_code_is_kept() -> None:
    event = contract.read_event(b'{"type":"error","error":{"code":"of_tomorrow","message":"m"}}')
    assert event == contract.Failed(error=contract.RunError(code="of_tomorrow", message="m"))


def test_a_known_error_code_is_a_plain_string() -> None:
    assert type(contract.RunError(code=contract.ErrorCode.CANCELLED, message="").code) is str


BROKEN = [
    b"",
    b"{}",
    b"[1]",
    b"\xff",
    b'{"type":"final"}',
    b'{"type":5}',
    b'{"type":""}',
    b'{"type":"a b"}',
    b'{"type":"a\\n"}',
    b'{"type":"' + b"a" * 65 + b'"}',
    b'{"type":"run.finished"}',
    b'{"type":"events.expired"}',
    b'{"type":"error","error":{"code":"A","message":""}}',
    b'{"type":"error","error":{"code":"","message":""}}',
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_event_is_refused(text: bytes) -> None:
    with pytest.raises(ValidationError):
        contract.read_event(text)


def test_every_optional_field_can_be_left_out_because_its_default_says_nothing() -> None:
    """Versions count from 1, which is what writers mean that do not send it; `code` is what a breach is called."""
    telling = {
        (model.__name__, name): field.get_default(call_default_factory=False)
        for model in contract.Wire.__subclasses__()
        for name, field in model.model_fields.items()
        if not field.is_required() and name != "type" and field.get_default() not in (None, "", 0, [], {})
    }
    assert telling == {
        ("RunRequest", "version"): 1,
        ("RunRequest", "requires"): 1,
        ("Refusal", "code"): "runtime_protocol",
    }


def test_the_sum_of_usages_adds_each_count() -> None:
    total = contract.Usage(input_tokens=1, output_tokens=2) + contract.Usage(input_tokens=10, output_tokens=20)
    assert total == contract.Usage(input_tokens=11, output_tokens=22)
