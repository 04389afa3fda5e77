"""Shares that tenants hold of one resource: late-comers find room, and the total is bounded whoever comes."""

from uuid import uuid4

import pytest

from agentic_core.web.shares import Shares


@pytest.mark.parametrize("tenants", [1, 2, 3, 4, 10, 100])
def test_tenants_that_come_in_turn_and_take_all_they_can_never_hold_more_than_twice_the_capacity(tenants: int) -> None:
    capacity = 1000
    shares = Shares(capacity, per_tenant=capacity)
    held = []
    for tenant in [uuid4() for _ in range(tenants)]:
        while shares.take(tenant):
            pass
        held.append(shares.held(tenant))
    assert sum(held) <= 2 * capacity
    assert held[0] == capacity
    assert held[1:3] == [500, 333][: tenants - 1]


def test_what_is_given_back_can_be_taken_by_the_next() -> None:
    shares = Shares(10, per_tenant=10)
    early = [uuid4() for _ in range(4)]
    for tenant in early:
        while shares.take(tenant):
            pass
    late = uuid4()
    assert not shares.take(late, 2)
    shares.give(early[0], 10)
    assert shares.take(late, 2)
