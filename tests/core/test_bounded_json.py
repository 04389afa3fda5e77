"""JSON of strangers: what is refused before it becomes objects, and what is not."""

import gc
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_core import bounded_json
from agentic_core.bounded_json import MAX_DEPTH, MAX_VALUES, VALUE_BYTES, ExcessiveJson


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


VALUES = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), _containers)


def _count(value: Any) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_count, value))
    if isinstance(value, dict):
        return 1 + sum(1 + _count(item) for item in value.values())
    return 1


@given(VALUES)
def test_every_value_is_counted_and_the_result_is_that_of_any_parser(value: Any) -> None:
    text = orjson.dumps(value)
    assert bounded_json.check(text) >= _count(value) - 1
    assert bounded_json.loads(text) == value


@given(VALUES)
def test_a_text_is_refused_only_for_what_is_outside_its_strings(value: Any) -> None:
    needed = bounded_json.check(orjson.dumps(value), max_values=10**6)
    harmless = orjson.dumps([value, '{[,:\\"' * 1000])
    assert bounded_json.check(harmless, max_values=needed + 2) <= needed + 2


@given(VALUES, st.booleans())
def test_both_ways_to_leave_out_strings_count_the_same(value: Any, pretty: bool) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else 0)
    without = bounded_json._STRING.sub(b"", text)
    assert bounded_json._separators_outside(text) == bounded_json._separators(without)


@pytest.mark.parametrize(
    ("text", "found"),
    [(rb'"a,\"",', 1), (rb'"a,\\",', 1), (rb'"\\\",[",{', 2), (b'["\\\\', 1), (b'"open,,,', 0), (b",,", 2)],
)
def test_quotes_end_a_string_unless_they_are_escaped(text: bytes, found: int) -> None:
    assert bounded_json._separators_outside(text) == found


@pytest.mark.parametrize("shape", ["[],", "{},", '"",', "1,", '{"":[]},', "[[]],"])
def test_megabytes_of_tiny_values_are_refused_before_they_are_parsed(shape: str) -> None:
    text = ("[" + shape * (4 * 2**20 // len(shape)) + "0]").encode()
    before = _memory()
    with pytest.raises(ExcessiveJson, match=f"more than {MAX_VALUES} values"):
        bounded_json.loads(text)
    assert _memory() - before < 8 * 2**20


@pytest.mark.parametrize(
    "member", ["[]", "{}", '{"%d":0}', '{"k%d":"v%d"}', '"s%d"', "1.5%d", "[[[]]]", '{"a":{"b%d":1}}']
)
def test_a_value_takes_no_more_memory_than_is_said(member: str) -> None:
    text = ("[" + ",".join(member.replace("%d", str(10**5 + number)) for number in range(20_000)) + "]").encode()
    assert _size(bounded_json.loads(text)) <= bounded_json.check(text) * VALUE_BYTES


def test_prose_and_code_of_megabytes_are_read() -> None:
    body = {"messages": [{"content": 'if x[0] == "," then {a: [1, 2]}, ' * 100_000}]}
    assert bounded_json.loads(orjson.dumps(body)) == body


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused_and_what_is_allowed_can_be_walked(opening: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[opening]
    assert bounded_json.loads((opening * MAX_DEPTH + "0" + closing * MAX_DEPTH).encode())
    for depth in (MAX_DEPTH + 1, 1000, 1010, 5000):
        with pytest.raises(ExcessiveJson, match="nests more than 100"):
            bounded_json.loads((opening * depth + "0" + closing * depth).encode())


@pytest.mark.parametrize("text", [b"", b"{", b'"\xff"', b"NaN", b"[1,]", b'{"a":1}x', b'"\\ud800"'])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        bounded_json.loads(text)


def _memory() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _size(value: Any) -> int:
    own = sys.getsizeof(value)
    if isinstance(value, list):
        return own + sum(map(_size, value))
    if isinstance(value, dict):
        return own + sum(_size(key) + _size(item) for key, item in value.items())
    return own
