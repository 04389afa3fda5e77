"""Which backend is tried next, and when."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentic_core.errors import RateLimited
from agentic_crds.model_provider import ModelProviderSpec, ProviderModel, ProviderType
from agentic_gateway.call.attempts import AttemptFailure, Cause, Plan, retry_after
from agentic_gateway.route.routing import Backend

MODEL = ProviderModel(name="m")
SPEC = ModelProviderSpec(type=ProviderType.OPENAI, models=[MODEL])


def plan(*names: str, attempts: int = 3) -> Plan:
    return Plan([Backend("uid", "ns", name, SPEC, MODEL) for name in names], attempts=attempts, jitter=random.Random(1))


def order(line: Plan, *causes: Cause, wait: float | None = None) -> str:
    """Who is tried, while each attempt fails for the next of these causes."""
    tried = ""
    for cause in causes:
        attempt = line.next()
        if attempt is None:
            return tried + "."
        tried += attempt.backend.provider_name
        line.failed(attempt, AttemptFailure(cause, "failed", retry_after=wait), 0.0)
    return tried


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("failed", "aaabbb."),
        ("unreachable", "aaabbb."),
        ("timeout", "aaabbb."),
        ("rate_limited", "ababab."),
        ("forbidden", "ab."),
        ("open", "ab."),
    ],
)
def test_the_cause_decides_who_is_next(cause: Cause, expected: str) -> None:
    assert order(plan("a", "b"), *[cause] * 7) == expected


def test_who_asks_for_too_much_patience_is_not_tried_again() -> None:
    causes: list[Cause] = ["rate_limited"] * 3
    assert order(plan("a", "b"), *causes, wait=31) == "ab."


def test_pauses_grow_and_vary_within_bounds() -> None:
    line = plan("a", attempts=8)
    pauses = []
    while attempt := line.next():
        line.failed(attempt, AttemptFailure("failed", "failed"), 100.0)
        pauses.append(attempt.ready_at - 100)
    for number, pause in enumerate(pauses[:-1]):
        ceiling = min(8.0, 0.25 * 2**number)
        assert ceiling / 2 <= pause <= ceiling
    assert len(set(pauses)) > 5


def test_a_connection_that_was_closed_meanwhile_is_replaced_at_once() -> None:
    line = plan("a")
    for expected in (0.0, 0.25):
        attempt = line.next()
        assert attempt
        line.failed(attempt, AttemptFailure("disconnected", "closed the connection"), 100.0)
        assert expected <= attempt.ready_at - 100 <= expected * 2


def test_a_pause_is_never_shorter_than_asked_for() -> None:
    line = plan("a")
    attempt = line.next()
    assert attempt
    line.failed(attempt, AttemptFailure("rate_limited", "answered 429", retry_after=7), 100.0)
    assert attempt.ready_at == 107


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5),
        ("0.5", 0.5),
        ("-3", 0),
        ("1_0", None),
        ("\u0661", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("1e999", None),
        ("9" * 400, None),
        ("9" * 300, 86_400),
        ("Sun, 22 Nov 9999 20:00:30 GMT", 86_400),
        ("Sun, 22 Nov 99999999999999999999 20:00:30 GMT", None),
        ("Sun, 22 Nov 2026 20:00:30 +999999999999", None),
        ("Sun, 22 Nov 2026 20:00:30 GMT", 30),
        ("Sun, 22 Nov 2020 20:00:30 GMT", 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, datetime(2026, 11, 22, 20, tzinfo=UTC)) == seconds


@given(st.text(max_size=60))
@example("Sun, 22 Nov 2026 20:00:30 +99999999")
def test_no_retry_after_breaks_the_backoff(header: str) -> None:
    seconds = retry_after(header)
    assert seconds is None or 0 <= seconds <= 86_400
    line = plan("a", "b")
    attempt = line.next()
    assert attempt
    line.failed(attempt, AttemptFailure("rate_limited", "answered 429", retry_after=seconds), 100.0)
    following = line.next()
    assert following
    assert 0 <= following.ready_at <= 130
    RateLimited("later", retry_after=seconds or 1)
