"""Events of a stream: the same ones, and the same bytes, wherever the network cuts it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_gateway.wires import events
from agentic_gateway.wires.events import EventSplitter, EventTooLarge, ServerSentEvent, split

LINE_ENDS = (b"\n", b"\r\n", b"\r")
lines = st.sampled_from(
    [
        b"",
        b"",
        b"data: {}",
        b"data:x",
        b'data: {"a": "\\n"}',
        b"event: ping",
        b": comment",
        b"id: 1",
        "data: ß".encode(),
        b"data",
    ]
)
streams = st.lists(st.tuples(lines, st.sampled_from(LINE_ENDS)).map(b"".join), max_size=30).map(b"".join)
streams_of_one_kind = st.sampled_from(LINE_ENDS).flatmap(
    lambda end: st.lists(lines, max_size=30).map(lambda made: b"".join(line + end for line in made))
)
cuts = st.lists(st.integers(0, 400), max_size=30)


def parts(stream: bytes, at: list[int]) -> list[bytes]:
    """The stream, cut at these places."""
    places = [0, *sorted(place for place in at if place < len(stream)), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(places)]


def whole_events(chunks: list[bytes]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The events with a field, and all bytes that came out."""
    splitter = EventSplitter(max_event_bytes=1000)
    out = [splitter.feed(chunk) for chunk in chunks]
    last = splitter.rest + b"\n\n"  # a stream may end without its last blank line
    found = [event for whole in (*out, last) for event in split(whole)]
    return [(event.name, event.data) for event in found if event.raw.strip()], b"".join(out) + splitter.rest


@given(streams | streams_of_one_kind | st.binary(max_size=300), cuts)
def test_the_events_of_a_stream_do_not_depend_on_where_it_is_cut(stream: bytes, at: list[int]) -> None:
    expected, _ = whole_events([stream])
    for chunks in (parts(stream, at), [stream[place : place + 1] for place in range(len(stream))]):
        events, out = whole_events(chunks)
        assert events == expected
        assert out == stream, "what is passed on is what came"


@given(streams | streams_of_one_kind)
def test_splitting_loses_no_event_and_no_byte_of_one(stream: bytes) -> None:
    splitter = EventSplitter(max_event_bytes=1000)
    whole = splitter.feed(stream)
    assert b"".join(event.raw for event in split(whole)).strip(b"\r\n") == whole.strip(b"\r\n")


@pytest.mark.parametrize("end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
def test_an_event_is_whole_with_the_byte_that_ends_it(end: bytes) -> None:
    splitter = EventSplitter(max_event_bytes=100)
    event = b"event: a" + end + b"data: 1" + end + end
    assert [splitter.feed(event[at : at + 1]) for at in range(len(event))] == [b""] * (len(event) - 1) + [event]
    (found,) = split(event)
    assert (found.name, found.data) == (b"a", b"1")


def test_whole_events_are_handed_on_uncopied() -> None:
    chunk = b"data: 1\n\ndata: 2\n\n"
    assert EventSplitter(max_event_bytes=1).feed(chunk) is chunk


def test_an_event_that_comes_in_crumbs_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each crumb used to cost as much as all before it, at the expense of the other tenants."""
    searched: list[int] = []
    last_end = events._last_end

    def counting(data: bytearray, start: int) -> int:
        searched.append(len(data) - start)
        return last_end(data, start)

    monkeypatch.setattr(events, "_last_end", counting)
    splitter = EventSplitter(max_event_bytes=2_000_000)
    for _ in range(100_000):
        assert splitter.feed(b"x" * 10) == b""
    assert splitter.feed(b"\r\n\r") == b""
    assert len(splitter.feed(b"\ny\r\r")) == 1_000_007
    assert splitter.feed(b"data: z\n\n") == b"data: z\n\n"
    assert max(searched) == 10 + events.OVERLAP


@pytest.mark.parametrize("chunks", [[b"x" * 101], [b"x"] * 101, [b"data: 1\n\n" + b"x" * 50, b"x" * 51]], ids=range(3))
def test_an_event_of_too_many_bytes_is_refused_however_it_comes(chunks: list[bytes]) -> None:
    splitter = EventSplitter(max_event_bytes=100)
    for chunk in chunks[:-1]:
        splitter.feed(chunk)
    with pytest.raises(EventTooLarge):
        splitter.feed(chunks[-1])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'data: {"a": 1}\n\n', {"a": 1}),
        (b'event: x\ndata: {"a":\ndata: 1}\n\n', {"a": 1}),
        (b"data: [1]\n\n", None),
        (b"data: {broken\n\n", None),
        (b"data: [DONE]\n\n", None),
        (b': {"a": 1}\n\n', None),
    ],
)
def test_data_is_a_json_object_or_nothing(raw: bytes, expected: dict[str, int] | None) -> None:
    assert ServerSentEvent(raw).json == expected
