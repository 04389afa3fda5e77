"""Ids sort by the time they were made."""

import time

from agentic_core.db import uuid7


def test_ids_are_version_7_unique_and_sorted_by_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 1000
    for item in made:
        assert (item.version, item.variant) == (7, "specified in RFC 4122")
        assert before <= item.int >> 80 <= after
