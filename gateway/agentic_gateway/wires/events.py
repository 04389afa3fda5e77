"""Server-sent events, cut out of a stream however it is chunked. Pure; `relay` feeds it, wires read its events.

An event is found by its blank line and parsed only when its data is read, so that the bytes of an ordinary stream go
through as they came.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from agentic_core import bounded_json

ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r", b"\r\r\n")
"""How a blank line can end, where lines end in LF, CRLF or CR. `LF CR` is one too, once the next byte is no LF."""
OVERLAP: Final = max(map(len, ENDS)) - 1
BLANK_LINES: Final = re.compile(rb"(?>\r\n|\n|\r){2,}+")


class EventTooLarge(ValueError):
    """An event has more bytes than are kept."""


class ServerSentEvent:
    """One event: its bytes, the blank line that ends it included."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @property
    def name(self) -> bytes:
        """The last `event` field, empty without one."""
        return self._fields[0]

    @property
    def data(self) -> bytes:
        """The `data` fields, one a line."""
        return self._fields[1]

    @cached_property
    def json(self) -> dict[str, Any] | None:
        """The data as a JSON object, None when it is none."""
        if b"{" not in self.data:
            return None
        try:
            parsed = bounded_json.loads(self.data)
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else None

    @cached_property
    def _fields(self) -> tuple[bytes, bytes]:
        name = b""
        data: list[bytes] = []
        for line in self.raw.splitlines():
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ")
        return name, b"\n".join(data)


class EventSplitter:
    """Collects the chunks of one stream and returns the whole events in them.

    Invariants: what `feed` has returned and `rest`, joined, are the bytes fed, unchanged; the events do not depend on
    where the stream was cut into chunks; no byte is searched twice for the end of an event, though an event of
    megabytes come byte by byte; at most `max_event_bytes` and one chunk are kept.
    """

    def __init__(self, *, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = bytearray()

    @property
    def rest(self) -> bytes:
        """The beginning of an event whose end has not come."""
        return bytes(self._rest)

    @property
    def pending(self) -> int:
        """Bytes of that beginning."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> bytes:
        """The bytes of the events that are whole now. Raises `EventTooLarge`."""
        rest = self._rest
        if not rest and chunk.endswith(ENDS):
            return chunk
        searched = max(0, len(rest) - OVERLAP)
        rest += chunk
        end = _last_end(rest, searched)
        whole = bytes(rest[:end])
        del rest[:end]
        if len(rest) > self._max_event_bytes:
            raise EventTooLarge(f"An event has more than {self._max_event_bytes} bytes.")
        return whole


def split(whole: bytes) -> Iterator[ServerSentEvent]:
    """The events in bytes that `feed` has returned. Blank lines that end no event go with the event beside them."""
    start = 0
    for blank in BLANK_LINES.finditer(whole):
        if blank.start() > start:
            yield ServerSentEvent(whole[start : blank.end()])
            start = blank.end()


def _last_end(data: bytearray, start: int) -> int:
    """Where the last event in the data ends, 0 when none does; those that end before `start` were found before."""
    ends = [at + len(end) for end in ENDS if (at := data.rfind(end, start)) >= 0]
    at = data.rfind(b"\n\r", start, len(data) - 1)  # at the very end it may be half of `LF CRLF`
    return max([*ends, at + 2 if at >= 0 else 0])
