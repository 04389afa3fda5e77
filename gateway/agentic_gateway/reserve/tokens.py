"""Approximate token counts: of prompts, and of responses without usage. Pure; the flow and `relay` call it.

The approximation is four bytes of UTF-8 a token, which is about right over languages and tokenizers, four tokens a
message around it, and a flat count for an image. Rows of responses that were cancelled or broken off, and of
providers that report no usage, are made with it and marked as estimated.
"""

from collections.abc import Iterable
from itertools import repeat
from typing import Any, Final

from agentic_gateway.wires import events
from agentic_gateway.wires.base import JSON, Operation

BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
TOKENS_PER_IMAGE: Final = 1_000
INLINE_DATA: Final = 4_096
"""A string without white space that is longer than this is an image or a file, not text."""
PROMPT_MEMBERS: Final = ("messages", "system", "tools", "input")
INLINE_MEMBERS: Final = frozenset(
    {("image_url", "url"), ("input_audio", "data"), ("file", "file_data"), ("source", "data")}
)
"""Where the wires have images and files; anywhere else such a string is text that the model reads."""


def prompt(body: JSON) -> int:
    """Tokens of a request."""
    messages = body.get("messages")
    around = TOKENS_PER_MESSAGE * len(messages) if isinstance(messages, list) else 0
    return around + sum(_read(body.get(name)) for name in PROMPT_MEMBERS)


def written(texts: Iterable[str]) -> int:
    """Tokens of the text that a model wrote."""
    return -(-sum(map(_size, texts)) // BYTES_PER_TOKEN)


def _read(value: Any) -> int:
    """Tokens of all that the model reads inside a JSON value.

    A request may have millions of items: besides them there is nothing here but a walk for each level.
    """
    total = 0
    walks = [zip(repeat(""), repeat(""), (value,), strict=False)]
    while walks:
        for parent, name, item in walks[-1]:
            if isinstance(item, str):
                total += TOKENS_PER_IMAGE if _is_inline(item, parent, name) else -(-_size(item) // BYTES_PER_TOKEN)
            elif isinstance(item, int):
                total += 1  # embeddings take tokens by their numbers
            elif isinstance(item, list | dict) and item:
                walks.append(_walk(item, parent, name))
                break
        else:
            walks.pop()
    return total


def _walk(item: list[Any] | dict[str, Any], parent: str, name: str) -> "zip[tuple[str, str, Any]]":
    """The items, each with the member that it is in and the one around that."""
    if isinstance(item, list):
        return zip(repeat(parent), repeat(name), item, strict=False)
    return zip(repeat(name), item, item.values(), strict=False)


def _is_inline(text: str, parent: str, name: str) -> bool:
    data = text.startswith("data:") or (len(text) > INLINE_DATA and " " not in text[:INLINE_DATA])
    return data and (parent, name) in INLINE_MEMBERS


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


class StreamedText:
    """What a stream has sent, kept as bytes until it has to be counted; most streams report their usage instead."""

    MAX_BYTES: Final = 64 * 1024

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._kept: list[bytes] = []
        self._bytes = 0
        self._bytes_written = 0

    def add(self, whole: bytes) -> None:
        """Some more whole events."""
        self._kept.append(whole)
        self._bytes += len(whole)
        if self._bytes > self.MAX_BYTES:
            self._count()

    def tokens(self) -> int:
        """Tokens written so far."""
        self._count()
        return -(-self._bytes_written // BYTES_PER_TOKEN)

    def _count(self) -> None:
        for event in events.split(b"".join(self._kept)):
            if event.json:
                self._bytes_written += sum(map(_size, self._operation.texts(event.json)))
        self._kept.clear()
        self._bytes = 0
