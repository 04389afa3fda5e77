"""Conditions keep the rules of kstatus."""

from datetime import UTC, datetime

import pytest

from agentic_core import conditions
from agentic_core.conditions import MESSAGE_LIMIT, Observation

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("observations", "shown"),
    [
        (conditions.ready("fine"), {"Ready": "True"}),
        (conditions.reconciling("Starting", "wait"), {"Ready": "False", "Reconciling": "True"}),
        (conditions.stalled("NotFound", "create it"), {"Ready": "False", "Stalled": "True"}),
    ],
)
def test_reconciling_and_stalled_exist_only_while_true(observations: list[Observation], shown: dict[str, str]) -> None:
    stamped = conditions.stamp(observations, generation=7, now=NOW)
    assert {one.type: one.status for one in stamped} == shown
    assert {one.observed_generation for one in stamped} == {7}
    assert {one.last_transition_time for one in stamped} == {NOW}


def test_a_long_message_is_cut() -> None:
    (ready,) = conditions.stamp(conditions.ready("x" * 5000), generation=1, now=NOW)
    assert len(ready.message) == MESSAGE_LIMIT
    assert ready.message.endswith("…")
