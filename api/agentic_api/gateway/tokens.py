"""Approximate token counts, for answers whose provider did not say what they used. Pure; `relay` asks.

The approximation is four characters a token, which is what English text has with the common tokenizers, four tokens a
message around it, and a flat count for an image. It is for answers that were cancelled or broken off, and for
providers that report no usage; such rows are marked as estimated.
"""

from collections.abc import Iterable
from typing import Final

import orjson

from agentic_api.gateway.wires.base import JSON, Operation, strings

CHARACTERS_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
TOKENS_PER_IMAGE: Final = 1_000
INLINE_DATA: Final = 4_096
"""A string without white space that is longer than this is an image or a file, not text."""
PROMPT_MEMBERS: Final = ("messages", "system", "tools", "input")


def prompt(body: JSON) -> int:
    """Tokens of a request."""
    texts = (text for name in PROMPT_MEMBERS for text in strings(body.get(name)))
    messages = body.get("messages")
    around = TOKENS_PER_MESSAGE * len(messages) if isinstance(messages, list) else 0
    return around + sum(map(_tokens, texts))


def written(answer: Iterable[str]) -> int:
    """Tokens of the text that a model wrote."""
    return -(-sum(map(len, answer)) // CHARACTERS_PER_TOKEN)


def _tokens(text: str) -> int:
    if text.startswith("data:") or (len(text) > INLINE_DATA and " " not in text[:INLINE_DATA]):
        return TOKENS_PER_IMAGE
    return -(-len(text) // CHARACTERS_PER_TOKEN)


class Transcript:
    """What a stream has sent, kept as bytes until somebody has to count it; most streams tell their usage instead."""

    LIMIT: Final = 64 * 1024

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._kept: list[bytes] = []
        self._bytes = 0
        self._characters = 0

    def add(self, events: bytes) -> None:
        """Some more complete events."""
        self._kept.append(events)
        self._bytes += len(events)
        if self._bytes > self.LIMIT:
            self._count()

    def tokens(self) -> int:
        """Tokens written so far."""
        self._count()
        return -(-self._characters // CHARACTERS_PER_TOKEN)

    def _count(self) -> None:
        for data in event_data(b"".join(self._kept)):
            self._characters += sum(map(len, self._operation.texts(data)))
        self._kept.clear()
        self._bytes = 0


def event_data(events: bytes) -> Iterable[JSON]:
    """The JSON objects of the data lines of some server-sent events."""
    for line in events.splitlines():
        if line.startswith(b"data:") and b"{" in line:
            try:
                data = orjson.loads(line[5:])
            except orjson.JSONDecodeError:
                continue
            if isinstance(data, dict):
                yield data
