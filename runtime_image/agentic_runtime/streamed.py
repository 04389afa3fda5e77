"""Collects a streamed response of a model into one message. The middleware feeds it chunk by chunk.

Tool calls are parsed strictly, unlike LangChain's own merging, which completes broken JSON: a call cut off in the
middle must never run with half of its arguments.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import ToolCall as LangChainToolCall

from agentic_core.contract import Usage

PROMPT_TOKENS = "prompt_tokens"
"""Key of the metadata with the tokens of the prompt, where a server reports them at the start of its response."""
LENGTH_REASONS = frozenset({"length", "max_tokens"})


@dataclass
class _PartialCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


def clean(text: str) -> str:
    """The text without the halves of characters that a model or tool may leave in it; no JSON can carry those."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class StreamedMessage:
    """A response in progress."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: dict[int | str, _PartialCall] = {}
        self._prompt_tokens = 0
        self.usage: Usage | None = None
        """What the provider counted; None when it did not report it."""
        self.cut = False
        """Whether the provider stopped at the allowed length."""
        self.malformed: dict[str, str] = {}
        """By id of a tool call, why its arguments are not a JSON object."""

    def add(self, chunk: AIMessageChunk) -> tuple[str, str]:
        """Takes a chunk. Returns its text for the client, and all text that the model produced for the count."""
        text = clean(chunk.content if isinstance(chunk.content, str) else str(chunk.text))
        produced = text
        if text:
            self._text.append(text)
        for part in chunk.tool_call_chunks:
            call = self._calls.setdefault(_index(part.get("index"), self._calls), _PartialCall())
            call.id = part.get("id") or call.id
            call.name = call.name or part.get("name") or ""
            arguments = part.get("args") or ""
            call.arguments.append(arguments)
            produced += arguments
        self._metadata(chunk)
        return text, produced

    def _metadata(self, chunk: AIMessageChunk) -> None:
        counted = chunk.usage_metadata
        if counted:
            added = Usage(
                input_tokens=counted["input_tokens"] or self._prompt_tokens, output_tokens=counted["output_tokens"]
            )
            self.usage = added if self.usage is None else self.usage + added
        metadata = chunk.response_metadata
        if metadata:
            self._prompt_tokens = metadata.get(PROMPT_TOKENS) or self._prompt_tokens
            self.cut = self.cut or (metadata.get("finish_reason") or metadata.get("stop_reason")) in LENGTH_REASONS

    @property
    def started(self) -> bool:
        """Whether the model produced anything, which costs something even if the rest never came."""
        return bool(self._text or self._calls or self.usage)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    def message(self) -> AIMessage:
        """The whole response. A call whose arguments are broken has none, and is listed in `malformed`."""
        calls = [self._tool_call(call) for call in self._calls.values()]
        return AIMessage(self.text, tool_calls=calls)

    def _tool_call(self, call: _PartialCall) -> LangChainToolCall:
        identity = call.id or f"call_{uuid4().hex}"
        arguments: Any = {}
        try:
            arguments = orjson.loads("".join(call.arguments) or "{}")
        except ValueError as error:
            self.malformed[identity] = (
                f"The arguments are not valid JSON: {error}. Call the tool again with correct arguments."
            )
        if not isinstance(arguments, dict):
            self.malformed[identity] = (
                "The arguments are not a JSON object. Call the tool again with correct arguments."
            )
        well_formed = identity not in self.malformed
        return LangChainToolCall(name=call.name, args=arguments if well_formed else {}, id=identity, type="tool_call")


def _index(index: int | str | None, calls: dict[int | str, _PartialCall]) -> int | str:
    """Compatible servers leave the index out of the chunks of their only call."""
    return index if index is not None else max(len(calls) - 1, 0)
