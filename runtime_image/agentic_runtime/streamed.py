"""Collects a streamed response of a model into one message. The middleware feeds it chunk by chunk.

Tool calls are parsed strictly, unlike LangChain's own merging, which completes broken JSON: a call cut off in the
middle must never run with half of its arguments.
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import ToolCall as LangChainToolCall

from agentic_core import bounded_json
from agentic_core.contract import ErrorCode, Usage
from agentic_runtime.failures import RunFailed

PROMPT_TOKENS = "prompt_tokens"
"""Key of the metadata with the tokens of the prompt, where a server reports them at the start of its response."""
LENGTH_REASONS = frozenset({"length", "max_tokens"})
MAX_CALLS: Final = 128
"""Tool calls of one response."""
MAX_ID_CHARACTERS: Final = 1024
MAX_NAME_CHARACTERS: Final = 256
MAX_ARGUMENT_VALUES: Final = 20_000
"""Values in the arguments of one call; the limit of tokens bounds their text."""


class Added(NamedTuple):
    """What a chunk has added to the response."""

    text: str
    """For the client."""
    produced: str
    """All text that the model produced, arguments, ids and names of tool calls included: for the count."""
    calls: int
    """Tool calls that began with it."""


@dataclass
class _PartialCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


def clean(text: str) -> str:
    """The text without the halves of characters that a model or tool may leave in it; no JSON can carry those."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class StreamedMessage:
    """A response in progress. What it keeps is bounded: text and arguments by the run's tokens, calls by number."""

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

    def add(self, chunk: AIMessageChunk) -> Added:
        """Take a chunk. Raises `RunFailed` for a response with more tool calls, or longer ids or names, than models
        write."""
        text = clean(chunk.content if isinstance(chunk.content, str) else str(chunk.text))
        if text:
            self._text.append(text)
        before = len(self._calls)
        produced = [text, *(self._tool_call_part(dict(part)) for part in chunk.tool_call_chunks)]
        self._metadata(chunk)
        return Added(text, "".join(produced), len(self._calls) - before)

    def _tool_call_part(self, part: dict[str, Any]) -> str:
        """Take a part of a tool call; returns all text in it."""
        index = _index(part.get("index"), self._calls)
        call = self._calls.get(index)
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                raise _hostile(f"more than {MAX_CALLS} tool calls")
            call = self._calls[index] = _PartialCall()
        identity, name, arguments = (part.get(member) or "" for member in ("id", "name", "args"))
        if len(identity) > MAX_ID_CHARACTERS or len(name) > MAX_NAME_CHARACTERS:
            raise _hostile("a tool call with an id or a name of more characters than any has")
        call.id = identity or call.id
        call.name = call.name or name
        if arguments:
            call.arguments.append(arguments)
        return f"{identity}{name}{arguments}"

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
            text = "".join(call.arguments).encode(errors="surrogatepass")
            arguments = bounded_json.loads(text or b"{}", max_values=MAX_ARGUMENT_VALUES)
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


def _hostile(what: str) -> RunFailed:
    return RunFailed(ErrorCode.MODEL_FAILED, f"The model's response has {what}, which no model writes; it was ended.")
