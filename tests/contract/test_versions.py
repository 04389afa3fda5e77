"""Programs of different versions understand each other: the frozen models against those of today, both ways.

When the contract's version is raised, the models that it leaves behind are copied here as the next frozen version, and
what the older reader cannot accept is named by a test.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentic_core import contract
from agentic_core.contract import Message, RunRequest
from tests.contract import v1
from tests.contract.strategies import CODES, DEFINITIONS, EVENTS, NAME, TOOL_NAMES, encoded, grown, requests

WITH_TOOLS = st.builds(lambda definition, tools: definition | {"tools": tools}, DEFINITIONS, TOOL_NAMES)


def same(one: Any, other: Any) -> None:
    """Both models say the same, as far as the older one, which is the first, knows."""
    ours, theirs = one.model_dump(mode="json"), other.model_dump(mode="json")
    assert ours == _common(ours, theirs)


def _common(older: Any, newer: Any) -> Any:
    if isinstance(older, dict) and isinstance(newer, dict):
        return {key: _common(value, newer[key]) for key, value in older.items()}
    if isinstance(older, list) and isinstance(newer, list) and len(older) == len(newer):
        return [_common(one, other) for one, other in zip(older, newer, strict=True)]
    return newer


def request_of(body: dict[str, Any]) -> RunRequest:
    """The request as the api builds it: its own fields, and a definition as it was stored."""
    definition = contract.read_definition(body["definition"])
    messages = [Message.model_validate(message) for message in body["messages"]]
    return RunRequest(**(body | {"definition": definition, "messages": messages}))


@given(requests(DEFINITIONS))
def test_an_old_runtime_accepts_what_the_api_sends(body: dict[str, Any]) -> None:
    request = request_of(body)
    same(v1.read_request(contract.write_request(request)), request)


@given(EVENTS)
def test_an_old_api_accepts_what_the_runtime_sends(event: dict[str, Any]) -> None:
    sent = contract.read_event(encoded(event))
    same(v1.read_event(contract.line(sent)), sent)


@given(requests(WITH_TOOLS))
def test_the_runtime_accepts_what_an_old_api_sends(body: dict[str, Any]) -> None:
    sent = v1.read_request(encoded(body))
    read = contract.read_request(v1.write_request(sent))
    tools = [(tool.name, tool.kind, tool.builtin) for tool in read.definition.tools]
    assert tools == [(name, "builtin", name) for name in sent.definition.tools]
    same(_without_tools(sent), _without_tools(read))


def _without_tools(request: Any) -> Any:
    return request.model_copy(update={"definition": request.definition.model_copy(update={"tools": []})})


@given(requests(WITH_TOOLS))
def test_a_runtime_of_version_1_refuses_definitions_with_tools_which_are_objects_since_version_2(
    body: dict[str, Any],
) -> None:
    """The one thing that an old runtime cannot read; its refusal becomes the run's error."""
    sent = contract.write_request(request_of(body))
    if not body["definition"]["tools"]:
        v1.read_request(sent)
        return
    assert json.loads(sent)["requires"] == 2
    with pytest.raises(ValidationError) as raised:
        v1.read_request(sent)
    assert {error["loc"][:2] for error in raised.value.errors()} == {("definition", "tools")}


@given(EVENTS)
def test_the_api_accepts_what_an_old_runtime_sends(event: dict[str, Any]) -> None:
    sent = v1.read_event(encoded(event))
    same(sent, contract.read_event(v1.write_event(sent)))


@given(requests(DEFINITIONS))
def test_the_runtime_accepts_what_an_api_of_tomorrow_sends(body: dict[str, Any]) -> None:
    assert contract.read_request(encoded(grown(body))) == contract.read_request(encoded(body))


@given(EVENTS)
def test_the_api_accepts_what_a_runtime_of_tomorrow_sends(event: dict[str, Any]) -> None:
    assert contract.read_event(encoded(grown(event))) == contract.read_event(encoded(event))


@given(NAME, CODES)
def test_an_api_of_version_1_ends_a_run_at_an_event_or_a_code_that_it_does_not_know(name: str, known: str) -> None:
    """Why no runtime may send new ones to an api whose requests have no version."""
    for event in ({"type": f"new.{name}"}, {"type": "error", "error": {"code": f"{known}.{name}", "message": ""}}):
        line = contract.line(contract.read_event(encoded(event)))
        with pytest.raises(ValidationError):
            v1.read_event(line)
