"""Approximate token counts: of prompts, and of responses without usage. Pure; the flow and `relay` call it.

The approximation is four bytes of UTF-8 a token, which is about right over languages and tokenizers, four tokens a
message around it, and a flat count for an image. Rows of responses that were cancelled or broken off, and of
providers that report no usage, are made with it and marked as estimated.
"""

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, Final

from agentic_gateway.wires import events
from agentic_gateway.wires.base import JSON, Operation

BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
TOKENS_PER_IMAGE: Final = 1_000
STRUCTURE_BYTES_PER_TOKEN: Final = 6
ENVELOPE_BYTES: Final = 2_048
"""What is sent costs at least a token for so many bytes beyond these, whatever it consists of."""
OPTION_CHARACTERS: Final = 16
WIRE_KEYS: Final = frozenset(
    {
        "additionalProperties",
        "anyOf",
        "arguments",
        "cache_control",
        "content",
        "data",
        "description",
        "detail",
        "enum",
        "ephemeral",
        "file",
        "file_data",
        "filename",
        "format",
        "function",
        "functions",
        "id",
        "image_url",
        "input",
        "input_schema",
        "is_error",
        "items",
        "json_schema",
        "media_type",
        "name",
        "parameters",
        "properties",
        "reasoning_content",
        "required",
        "role",
        "schema",
        "signature",
        "source",
        "strict",
        "text",
        "thinking",
        "title",
        "tool_call_id",
        "tool_calls",
        "tool_use_id",
        "ttl",
        "type",
        "url",
    }
)
"""Keys that the wires or JSON Schema define: models read something shorter in their place, if anything."""


def prompt(body: JSON, *, sent_bytes: int = 0) -> int:
    """Tokens of a request, at least those of its size as it is sent: nothing in it is free, whatever its name is."""
    messages = body.get("messages")
    around = TOKENS_PER_MESSAGE * len(messages) if isinstance(messages, list) else 0
    read, image_bytes = _read({name: value for name, value in body.items() if not _is_option(name, value)})
    return max(around + read, (sent_bytes - image_bytes - ENVELOPE_BYTES) // STRUCTURE_BYTES_PER_TOKEN)


def written(texts: Iterable[str]) -> int:
    """Tokens of the text that a model wrote."""
    return -(-sum(map(_size, texts)) // BYTES_PER_TOKEN)


def _read(body: JSON) -> tuple[int, int]:
    """Tokens of all that is inside a request, and the bytes of its images, which count as images instead.

    A request may have many items: besides them there is nothing here but a walk for each level.
    """
    total = image_bytes = 0
    walks: list[Iterator[tuple[str, Any]]] = [iter(body.items())]
    while walks:
        for name, item in walks[-1]:
            if isinstance(item, str):
                total += _tokens(item)
            elif isinstance(item, int | float):
                total += 1  # embeddings take tokens by their numbers
            elif isinstance(item, list) and item:
                walks.append(zip(repeat(name), item, strict=False))
                break
            elif isinstance(item, dict) and item:
                total += sum(_tokens(key) for key in item if key not in WIRE_KEYS)
                is_image, data = _image(name, item)
                total += TOKENS_PER_IMAGE * is_image
                image_bytes += len(item[data]) if data else 0
                walks.append(
                    iter(item.items()) if not data else iter([pair for pair in item.items() if pair[0] != data])
                )
                break
        else:
            walks.pop()
    return total, image_bytes


def _is_option(name: str, value: Any) -> bool:
    """Whether a member of a request is a short word such as a format: models do not read it."""
    return isinstance(value, str) and len(value) <= OPTION_CHARACTERS and name not in ("input", "system")


def _image(name: str, item: JSON) -> tuple[bool, str]:
    """Whether the value of a member is an image, as the wires have them, and which of its members has the data."""
    if name == "image_url":
        url = item.get("url")
        inline = isinstance(url, str) and url.startswith("data:image/") and " " not in url
        return True, "url" if inline else ""
    if name == "source":
        data, kind, media_type = item.get("data"), item.get("type", "base64"), item.get("media_type", "image/")
        if not isinstance(data, str):
            return kind in ("url", "file"), ""
        inline = kind == "base64" and str(media_type).startswith("image/") and " " not in data
        return inline, "data" if inline else ""
    return False, ""


def _tokens(text: str) -> int:
    return -(-_size(text) // BYTES_PER_TOKEN)


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
