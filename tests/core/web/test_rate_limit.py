"""The token bucket, with a clock of the test's own."""

from agentic_core.web.rate_limit import MAX_TRACKED, RateLimiter
from tests.support.clock import StoppedClock


def test_a_burst_then_the_rate() -> None:
    clock = StoppedClock()
    limiter = RateLimiter(per_minute=60, clock=clock)
    decisions = [limiter.take("k") for _ in range(61)]
    assert [decision.allowed for decision in decisions if decision] == [True] * 60 + [False]
    refused = decisions[-1]
    assert refused is not None
    assert (refused.remaining, round(refused.retry_after, 3), round(refused.reset)) == (0, 1.0, 60)
    clock.at += 1
    again, more = limiter.take("k"), limiter.take("k")
    assert again is not None
    assert more is not None
    assert (again.allowed, more.allowed) == (True, False)


def test_refused_requests_cost_nothing() -> None:
    clock = StoppedClock()
    limiter = RateLimiter(per_minute=60, clock=clock)
    for _ in range(500):
        limiter.take("k")
    clock.at += 60
    full = limiter.take("k")
    assert full is not None
    assert (full.allowed, full.remaining) == (True, 59)


def test_keys_do_not_share_and_full_buckets_are_forgotten() -> None:
    clock = StoppedClock()
    limiter = RateLimiter(per_minute=1, clock=clock)
    for number in range(MAX_TRACKED):
        decision = limiter.take(str(number))
        assert decision is not None
        assert decision.allowed
    clock.at += 61
    limiter.take("one more")
    assert len(limiter._full_at) == 1


def test_zero_means_no_limit() -> None:
    assert RateLimiter(per_minute=0, clock=StoppedClock()).take("k") is None
