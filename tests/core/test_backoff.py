"""Pauses grow, are bounded, vary, and can be reproduced."""

import random

from hypothesis import given
from hypothesis import strategies as st

from agentic_core.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(first=1.0, longest=5.0, jitter=0)
    assert [backoff.pause(failures) for failures in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


@given(st.integers(0, 10**9), st.floats(0.001, 10), st.floats(10, 1000), st.floats(0, 1))
def test_a_pause_stays_within_its_jitter(failures: int, first: float, longest: float, jitter: float) -> None:
    pause = Backoff(first, longest, jitter).pause(failures)
    assert first * (1 - jitter) * 0.999 <= pause <= longest * (1 + jitter) * 1.001


def test_a_pause_is_reproducible_with_a_seeded_generator() -> None:
    backoff = Backoff(first=1.0, longest=60.0)
    assert backoff.pause(3, rng=random.Random(1)) == backoff.pause(3, rng=random.Random(1))
