"""Conversations as providers accept them, whatever a broken run left behind."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from agentic_core.contract import Message, ToolCall
from agentic_runtime.messages import UNANSWERED, to_langchain

CALL = ToolCall(id="c1", name="t", arguments={"a": 1})


def shape(messages: list[Message]) -> list[tuple[str, Any]]:
    return [(type(message).__name__, message.content) for message in to_langchain(messages)]


def test_a_call_without_an_answer_gets_one() -> None:
    messages = [
        Message(role="user", content="hi"),
        Message(role="assistant", tool_calls=[CALL, ToolCall(id="c2", name="t")]),
        Message(role="tool", tool_call_id="c2", content="two"),
        Message(role="user", content="again"),
    ]
    assert shape(messages) == [
        ("HumanMessage", "hi"),
        ("AIMessage", ""),
        ("ToolMessage", "two"),
        ("ToolMessage", UNANSWERED),
        ("HumanMessage", "again"),
    ]


def test_a_call_at_the_end_gets_an_answer() -> None:
    assert shape([Message(role="assistant", tool_calls=[CALL])])[-1] == ("ToolMessage", UNANSWERED)


def test_an_answer_without_a_call_is_dropped() -> None:
    orphan = Message(role="tool", tool_call_id="c9", content="?")
    twice = Message(role="tool", tool_call_id="c1", content="1")
    messages = [orphan, Message(role="assistant", tool_calls=[CALL]), twice, twice, Message(role="user", content="x")]
    assert shape(messages) == [("AIMessage", ""), ("ToolMessage", "1"), ("HumanMessage", "x")]


def test_an_error_stays_an_error() -> None:
    answered = Message(role="tool", tool_call_id="c1", content="no", is_error=True)
    last = to_langchain([Message(role="assistant", tool_calls=[CALL]), answered])[-1]
    assert isinstance(last, ToolMessage)
    assert last.status == "error"


def test_an_empty_assistant_message_is_dropped() -> None:
    assert shape([Message(role="assistant"), Message(role="user", content="x")]) == [("HumanMessage", "x")]


CALLS = st.builds(ToolCall, id=st.sampled_from(["a", "b", "c"]), name=st.just("t"))
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant", "tool"]),
    content=st.text(max_size=3),
    tool_call_id=st.sampled_from([None, "a", "b", "c"]),
    tool_calls=st.lists(CALLS, max_size=3, unique_by=lambda call: call.id),
)


@given(st.lists(MESSAGES, max_size=12))
def test_every_call_is_answered_once_before_anything_else(messages: list[Message]) -> None:
    pending: set[str] = set()
    for message in to_langchain(messages):
        if isinstance(message, ToolMessage):
            pending.remove(message.tool_call_id)
            continue
        assert not pending
        if isinstance(message, AIMessage):
            pending = {call["id"] or "" for call in message.tool_calls}
        else:
            assert isinstance(message, HumanMessage)
    assert not pending
