"""A request that was read, checked and counted, kept as the bytes that are sent. Pure; the flow calls it.

Parsed JSON takes many times its text, so none is kept: of a request there are the few members that differ between
backends, and all others as one text. What is counted is what is sent.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from agentic_core import bounded_json
from agentic_core.bounded_json import ExcessiveJson, TooDeepJson
from agentic_core.errors import Malformed, TooLarge
from agentic_gateway.reserve import tokens
from agentic_gateway.wires.base import JSON, Operation, expect

SLICE_BYTES: Final = 64 * 1024
"""Larger bodies are sent in slices of this size, each when the connection takes it: no other copy of them is made."""


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """A request that may be passed on."""

    model: str
    own: JSON
    """The members that the gateway reads and sets."""
    rest: bytes
    """All others as a JSON object."""
    prompt_tokens: int
    """About how many tokens the model reads."""


def accept(operation: Operation, data: bytes, headers: Mapping[bytes, bytes]) -> AcceptedRequest:
    """The request of a body. Raises `Malformed` or `TooLarge` for one that is not passed on."""
    body = _parsed(data)
    expect(body, "model", str)
    operation.check(body, headers)
    own = {name: body.pop(name) for name in operation.own & body.keys()}
    for name in body.keys() - operation.members:
        del body[name]  # unknown ones are null
    rest = orjson.dumps(body)
    return AcceptedRequest(own["model"], own, rest, tokens.prompt(body, sent_bytes=len(rest)))


def upstream_body(request: AcceptedRequest, own: JSON) -> tuple[bytes | AsyncIterator[bytes], int]:
    """The body for a backend with these own members, and its size: whole if it is small, otherwise in slices."""
    head = orjson.dumps(own)
    if len(request.rest) <= len(b"{}"):
        return head, len(head)
    head = head[:-1] + b","
    size = len(head) + len(request.rest) - 1
    if size <= SLICE_BYTES:
        return head + request.rest[1:], size
    return _slices(head, request.rest), size


async def _slices(head: bytes, rest: bytes) -> AsyncIterator[bytes]:
    yield head
    for start in range(1, len(rest), SLICE_BYTES):
        yield rest[start : start + SLICE_BYTES]


def _parsed(data: bytes) -> JSON:
    try:
        parsed = bounded_json.loads(data)
    except TooDeepJson as error:
        raise Malformed(f"The body is not JSON that is read here: {error}.") from None
    except ExcessiveJson as error:
        raise TooLarge(f"The body cannot be read: {error}.") from None
    except ValueError as error:
        raise Malformed(f"The body is not JSON in UTF-8: {error}.") from None
    if not isinstance(parsed, dict):
        raise Malformed("The body has to be a JSON object.")
    return parsed
