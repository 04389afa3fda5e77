"""What the gateway has to know about a wire protocol; `openai` and `anthropic` say it, the rest of the gateway asks."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from agentic_core.errors import Malformed, PlatformError
from agentic_crds.model_provider import ProviderType

JSON = dict[str, Any]
EVENT_STREAM = "text/event-stream"
MOST_TOKENS = 100_000_000
"""Most tokens that one count of an answer can say; three of them, as Anthropic's input has, still fit their column."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call used."""

    input: int = 0
    output: int = 0


class Operation(ABC):
    """One endpoint of a wire protocol."""

    name: ClassVar[str]
    """The operation's name in the GenAI conventions."""
    path: ClassVar[str]
    """Path at the gateway."""
    upstream_path: ClassVar[str]
    """Path behind the provider's base URL."""
    types: ClassVar[frozenset[ProviderType]]
    """Types of the providers that speak this wire."""
    end_mark: ClassVar[bytes]
    """Bytes that are in the last event of a stream; where they are not, nobody has to look for it."""
    falls_back: ClassVar[bool] = True
    """Whether the answer of another model is as good."""

    @abstractmethod
    def check(self, body: JSON) -> None:
        """Raises `Malformed` when the request lacks what every provider asks for."""

    @abstractmethod
    def upstream_body(self, body: JSON, model: str) -> JSON:
        """The body for the provider, with its own name of the model."""

    @abstractmethod
    def upstream_headers(self, headers: Mapping[bytes, bytes], key: str | None) -> dict[str, str]:
        """The headers for the provider: its key, and of the caller's what belongs to the protocol."""

    @abstractmethod
    def used(self, answer: JSON) -> Tokens | None:
        """What an answer says it used."""

    @abstractmethod
    def used_so_far(self, event: JSON, before: Tokens | None) -> Tokens | None:
        """What was used up to this event of a stream."""

    def hides(self, event: JSON, request: JSON) -> bool:
        """Whether the event is there because the gateway asked for it, not the caller."""
        return False

    @abstractmethod
    def ends(self, event: bytes) -> bool:
        """Whether the event is the stream's last."""

    @abstractmethod
    def texts(self, answer: JSON) -> Iterator[str]:
        """All text that the model wrote in an answer or an event."""

    @abstractmethod
    def error(self, problem: PlatformError) -> JSON:
        """The problem in the wire's own error format."""

    def error_event(self, problem: PlatformError) -> bytes:
        """The problem as an event of a stream that has begun."""
        return b"event: error\ndata: " + orjson.dumps(self.error(problem)) + b"\n\n"


def expect(body: JSON, name: str, *kinds: type, required: bool = True) -> None:
    """Raises `Malformed` unless the member of the body has one of the types; bool is no number here."""
    value = body.get(name)
    if value is None and not required:
        return
    if not isinstance(value, kinds):
        wanted = " or ".join(NAMES[kind] for kind in kinds)
        raise Malformed(f"'{name}' has to be {wanted}.")


NAMES: dict[type, str] = {str: "a string", list: "an array", dict: "an object", bool: "true or false", int: "a number"}


def told(read: int, written: int) -> Tokens | None:
    """A provider that says that an answer used nothing has not said what it used."""
    return Tokens(read, written) if read or written else None


def count(value: Any) -> int:
    """A number of tokens from an answer; whatever is not one counts as none, and what no answer can have as the most.

    A provider may be anybody's server, and a row that cannot be stored would keep all others of its tenant waiting.
    """
    return min(value, MOST_TOKENS) if isinstance(value, int) and value > 0 else 0


def strings(value: Any) -> Iterator[str]:
    """All strings inside a JSON value, keys not included. Without recursion: callers nest as deep as they like."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            rest += reversed(item)
        elif isinstance(item, dict):
            rest += reversed(item.values())
