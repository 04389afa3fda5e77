"""JSON from outside, bounded by the Python objects that it becomes, not by its bytes.

`[],[],…` becomes thirty times its size in memory. So the values of a text are counted before it is parsed, at a few
hundred megabytes a second. Every program calls it for whatever comes from outside: requests, responses, lines, rows.
"""

import re
from typing import Any, Final

import orjson

MAX_VALUES: Final = 200_000
"""Values of one text, unless the caller permits fewer: about 20 MB of objects at most, parsed in some 30 ms."""
MAX_DEPTH: Final = 100
"""Containers inside each other. Code that walks a value recursively must not meet Python's own limit."""
VALUE_BYTES: Final = 128
"""What a value may take in memory besides its text; at most 101 were measured, for objects of one member."""
_MAX_QUOTES: Final = 500_000
"""Up to this number of quotes, texts that look like too many values are looked at again without their strings."""
_LONG_STRING: Final = 64
"""Texts with fewer quotes than one in so many bytes consist of long strings."""
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class ExcessiveJson(ValueError):
    """The text has too many values, or nests them too deeply."""


class TooDeepJson(ExcessiveJson):
    """The text nests its values too deeply."""


def check(text: bytes, *, max_values: int = MAX_VALUES) -> int:
    """At most how many values the text has, by its commas and brackets. Raises `ExcessiveJson` for too many."""
    found = _separators(text)
    if found > max_values:
        found = count(text)
    if found > max_values:
        raise ExcessiveJson(f"it has more than {max_values} values")
    return found


def count(text: bytes) -> int:
    """At most how many values the text has; the separators in its strings are left out, unless it has very many."""
    quotes = text.count(b'"')
    if quotes > _MAX_QUOTES:
        return _separators(text)
    if quotes * _LONG_STRING < len(text):
        return _separators_outside(text)
    return _separators(_STRING.sub(b"", text))


def loads(text: bytes, *, max_values: int = MAX_VALUES, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a text. Raises `ExcessiveJson`, or another `ValueError` when the text is not JSON in UTF-8."""
    check(text, max_values=max_values)
    too_deep = TooDeepJson(f"it nests more than {max_depth} lists and objects in each other")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise (too_deep if error.msg.startswith("depth limit") else error) from None
    if text.count(b"[") + text.count(b"{") > max_depth and _is_deeper(value, max_depth):
        raise too_deep
    return value


def _separators(text: bytes, start: int = 0, end: int | None = None) -> int:
    return sum(text.count(separator, start, end) for separator in (b",", b"[", b"{", b":"))


def _separators_outside(text: bytes) -> int:
    """The separators outside of strings: for long ones faster than the expression, and without a step that takes long,
    during which no other thread would run."""
    found = at = 0
    while (start := text.find(b'"', at)) >= 0:
        found += _separators(text, at, start)
        at = _end_of_string(text, start + 1)
    return found + _separators(text, at)


def _end_of_string(text: bytes, start: int) -> int:
    """Where the text goes on after a string that begins here. A quote is escaped by an odd number of backslashes."""
    while (quote := text.find(b'"', start)) >= 0:
        before = text[start:quote]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            return quote + 1
        start = quote + 1
    return len(text)


def _is_deeper(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
