"""Conversations of the contract as LangChain messages. The LangChain loop calls it; pure.

Providers refuse a conversation in which a tool call has no result, which a cancelled or crashed run leaves behind;
such calls get a result that says so, and results without a call are dropped.
"""

from collections.abc import Iterable

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages import ToolCall as LangChainToolCall

from agentic_core.contract import Message, ToolCall

UNANSWERED = "The tool gave no answer: the run was interrupted."


def to_langchain(messages: Iterable[Message]) -> list[AnyMessage]:
    """The conversation, with exactly one result for every tool call and right after it."""
    converted: list[AnyMessage] = []
    open_calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "tool":
            call = open_calls.pop(message.tool_call_id or "", None)
            if call is not None:
                converted.append(_result(call, message.content, is_error=message.is_error))
            continue
        converted.extend(_without_result(open_calls))
        open_calls = {call.id: call for call in message.tool_calls} if message.role == "assistant" else {}
        if message.role == "user":
            converted.append(HumanMessage(message.content))
        elif message.content or open_calls:
            converted.append(AIMessage(message.content, tool_calls=[_call(call) for call in open_calls.values()]))
    converted.extend(_without_result(open_calls))
    return converted


def _call(call: ToolCall) -> LangChainToolCall:
    return LangChainToolCall(name=call.name, args=call.arguments, id=call.id, type="tool_call")


def _result(call: ToolCall, content: str, *, is_error: bool) -> ToolMessage:
    return ToolMessage(content, tool_call_id=call.id, name=call.name, status="error" if is_error else "success")


def _without_result(calls: dict[str, ToolCall]) -> list[ToolMessage]:
    return [_result(call, UNANSWERED, is_error=True) for call in calls.values()]
