"""What the gateway needs of a wire protocol; `openai` and `anthropic` implement it, all steps of a call use it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from agentic_core.errors import Malformed, PlatformError
from agentic_core.quoting import quoted
from agentic_crds.model_provider import ProviderType
from agentic_gateway.problems import UnknownMember, Unpriced
from agentic_gateway.wires.events import ServerSentEvent

JSON = dict[str, Any]
EVENT_STREAM = "text/event-stream"
MAX_NAME = 64
"""Characters of a name that messages show."""
MAX_TOKENS = 100_000_000
"""The largest count taken from a response; the sum of three, as Anthropic's input has, still fits its column."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call used."""

    input: int = 0
    output: int = 0
    surcharge: float = 0
    """Input tokens to pay on top, in quarters: what is written to a prompt cache costs more than other input. What is
    read from one costs less, which no price list here has; it is paid in full."""


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
    """Bytes that are in the last event of a stream: only events with them are parsed to find it."""
    own: ClassVar[frozenset[str]]
    """Members that the gateway reads and sets: small ones, by which requests to different backends differ."""
    members: ClassVar[frozenset[str]]
    """Members that are passed on as they are. Any other is refused: it may cost what no estimate reads."""
    falls_back: ClassVar[bool] = True
    """Whether the response of another model is as good."""

    @abstractmethod
    def check(self, body: JSON, headers: Mapping[bytes, bytes]) -> None:
        """Raises `Malformed` when the request lacks what every provider requires, or has what is not priced."""

    @abstractmethod
    def max_output(self, own: JSON, kind: ProviderType) -> int:
        """The tokens that the request lets the model write."""

    @abstractmethod
    def upstream_own(self, own: JSON, model: str, kind: ProviderType, *, max_output: int) -> JSON:
        """The own members for the provider, with its name of the model and at most `max_output` tokens of output."""

    @abstractmethod
    def upstream_headers(self, headers: Mapping[bytes, bytes], key: str | None) -> dict[str, str]:
        """The headers for the provider: its key, and of the caller's what belongs to the protocol."""

    @abstractmethod
    def used(self, response: JSON) -> Tokens | None:
        """What a response reports as used."""

    @abstractmethod
    def used_so_far(self, event: JSON, before: Tokens | None) -> Tokens | None:
        """What was used up to this event of a stream."""

    def hides(self, event: JSON, own: JSON) -> bool:
        """Whether the event was requested by the gateway, not by the caller."""
        return False

    @abstractmethod
    def ends(self, event: ServerSentEvent) -> bool:
        """Whether the event is the stream's last."""

    @abstractmethod
    def texts(self, response: JSON) -> Iterator[str]:
        """All text that the model wrote in a response or an event."""

    @abstractmethod
    def error(self, problem: PlatformError) -> JSON:
        """The problem in the wire's own error format."""

    def error_event(self, problem: PlatformError) -> bytes:
        """The problem as an event of a stream that has begun."""
        return b"event: error\ndata: " + orjson.dumps(self.error(problem)) + b"\n\n"


def type_name(kind: Any) -> str:
    """The `type` of a part of a request, as messages show it."""
    return repr(quoted(kind[:MAX_NAME])) if isinstance(kind, str) else "no name"


def refuse_unknown(body: JSON, known: Collection[str], *, where: str = "") -> None:
    """Raises `UnknownMember` for a member that is not among the known ones, unless it is null."""
    for name, value in body.items():
        if name not in known and value is not None:
            raise UnknownMember(
                f"'{where}{quoted(name[:MAX_NAME])}' is not passed on: only members that are known here are, so that"
                " all of a request counts. Leave it out."
            )


def refuse_unpriced(body: JSON, priced: Mapping[str, tuple[Any, ...]]) -> None:
    """Raises `Unpriced` for a member that is in `priced` with another value than those that cost nothing more."""
    for name in body.keys() & priced.keys():
        value = body[name]
        if value is not None and value not in priced[name]:
            allowed = ", ".join(map(repr, priced[name]))
            advice = f"it may be {allowed}" if allowed else "leave it out"
            raise Unpriced(f"'{name}' is not passed on, since its price is not known: {advice}.")


def refuse_unpriced_tools(body: JSON, is_priced: Callable[[str], bool]) -> None:
    """Raises `Unpriced` for a tool that the provider runs, and charges for, itself."""
    expect(body, "tools", list, required=False)
    tools: list[Any] = body.get("tools") or []
    for number, tool in enumerate(tools):
        kind: Any = tool.get("type") if isinstance(tool, dict) else None
        if kind is not None and not (isinstance(kind, str) and is_priced(kind)):
            raise Unpriced(
                f"'tools[{number}].type' is {type_name(kind)}: tools that the provider runs have no price here."
            )


def expect(body: JSON, name: str, *kinds: type, required: bool = True) -> None:
    """Raises `Malformed` unless the member of the body has one of the types; bool is no number here."""
    value = body.get(name)
    if value is None and not required:
        return
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(NAMES[kind] for kind in kinds)
        raise Malformed(f"'{name}' has to be {wanted}.")


def expect_limit(body: JSON, name: str, *, required: bool = True) -> None:
    """Raises `Malformed` unless the member is a limit of tokens: by 0 or less, some servers mean no limit."""
    expect(body, name, int, required=required)
    value = body.get(name)
    if value is not None and value < 1:
        raise Malformed(f"'{name}' has to be 1 or more.")


NAMES: dict[type, str] = {str: "a string", list: "an array", dict: "an object", bool: "true or false", int: "a number"}


def reported(read: int, written: int, surcharge: float) -> Tokens | None:
    """A provider that reports that a response used nothing has not reported what it used."""
    return Tokens(read, written, surcharge) if read or written else None


def count(value: Any) -> int:
    """A number of tokens from a response; what is none counts as 0, and what no response can have as the maximum.

    A provider may be anybody's server, and a row with larger numbers could not be stored.
    """
    return min(value, MAX_TOKENS) if isinstance(value, int) and value > 0 else 0


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
