"""Leadership without an API server: expiry by our own clock, foreign clocks, and renewals that fail."""

from typing import Any, cast

import pytest

from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import Object, Ref
from agentic_operator.engine.leader import LeaderLease, LeadershipLost, LeaseTiming

TIMING = LeaseTiming(duration=15, deadline=10, retry=0)


class World:
    """A clock, and an API server with one Lease. Each call takes `seconds`."""

    def __init__(self, **spec: Any) -> None:
        self.now = 100.0
        self.seconds = 0.0
        self.failures: list[errors.ClusterError] = []
        """What the next writes end with."""
        self.calls: list[str] = []
        self.stored: Object | None = {"metadata": {}, "spec": spec} if spec else None
        self.renewing = 0
        """How many looks the other holder goes on renewing."""

    async def get(self, _ref: Ref) -> Object | None:
        self._call("get")
        if self.renewing and self.stored:
            self.renewing -= 1
            self.stored["spec"]["renewTime"] = f"renewal {self.renewing}"
        return self.stored

    async def create(self, obj: Object, _manager: str) -> Object:
        return self._write("create", obj)

    async def replace(self, obj: Object, _manager: str) -> Object:
        return self._write("replace", obj)

    def lease(self) -> LeaderLease:
        """Our part."""
        cluster = cast("Cluster", self)
        return LeaderLease(cluster, namespace="n", name="l", identity="us", timing=TIMING, clock=lambda: self.now)

    def _call(self, verb: str) -> None:
        self.calls.append(verb)
        self.now += self.seconds

    def _write(self, verb: str, obj: Object) -> Object:
        self._call(verb)
        if self.failures:
            raise self.failures.pop()
        self.stored = obj
        return obj


async def test_permission_ends_at_the_deadline_by_our_own_clock() -> None:
    world = World()
    lease = world.lease()
    assert not lease.may_write()
    await lease.acquire()
    world.now += 9.9
    assert lease.may_write()
    world.now += 0.1
    assert not lease.may_write()


async def test_permission_counts_from_the_start_of_the_request() -> None:
    world = World()
    world.seconds = 4
    lease = world.lease()
    await lease.acquire()
    world.now += 5.9
    assert lease.may_write()
    world.now += 0.2
    assert not lease.may_write()


@pytest.mark.parametrize("renewed", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", None])
async def test_a_holder_has_its_whole_time_whatever_its_clock_says(renewed: str | None) -> None:
    world = World(holderIdentity="them", renewTime=renewed, leaseTransitions=3)
    world.seconds = 1
    began = world.now
    await world.lease().acquire()
    assert world.now - began > 15
    assert world.stored
    assert (world.stored["spec"]["holderIdentity"], world.stored["spec"]["leaseTransitions"]) == ("us", 4)


async def test_a_holder_that_renews_keeps_it_and_may_promise_longer() -> None:
    world = World(holderIdentity="them", renewTime="x", leaseDurationSeconds=40)
    world.seconds, world.renewing = 1, 100
    began = world.now
    await world.lease().acquire()
    assert world.now - began > 100 + 40


async def test_a_released_lease_is_free_at_once() -> None:
    world = World(holderIdentity="", renewTime="x")
    await world.lease().acquire()
    assert world.calls == ["get", "replace"]


async def test_somebody_quicker_is_noticed() -> None:
    world = World(holderIdentity="", renewTime="x")
    world.failures = [errors.ObjectConflict("taken")]
    await world.lease().acquire()
    assert world.calls == ["get", "replace"] * 2


async def test_renewals_that_fail_end_the_leadership_at_the_deadline() -> None:
    world = World()
    lease = world.lease()
    await lease.acquire()
    world.failures, world.seconds = [errors.Unreachable("no answer")] * 9, 4
    with pytest.raises(LeadershipLost, match="not renewed for 10"):
        await lease.hold()
    assert world.calls[2:] == ["replace"] * 3
    assert not lease.may_write()


async def test_a_conflict_ends_the_leadership_at_once() -> None:
    world = World()
    lease = world.lease()
    await lease.acquire()
    world.failures = [errors.ObjectConflict("changed")]
    with pytest.raises(LeadershipLost, match="another operator"):
        await lease.hold()
    assert not lease.may_write()


async def test_release_hands_over_once_and_only_what_is_ours() -> None:
    world = World()
    lease = world.lease()
    await lease.release()
    assert world.calls == []
    await lease.acquire()
    await lease.release()
    assert world.stored
    assert world.stored["spec"]["holderIdentity"] == ""
    assert not lease.may_write()
    await lease.release()
    assert world.calls == ["get", "create", "replace"]
