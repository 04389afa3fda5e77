"""Two operators, one leader: as processes against a real API server, killed and suspended."""

import signal

import pytest

from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import LEASE
from tests.operator.engine.tiny import AGENT, agent
from tests.operator.engine.world import eventually, process, settled
from tests.support.apiserver import ControlPlane

pytestmark = pytest.mark.slow


@pytest.mark.timeout(240)
async def test_a_suspended_leader_writes_nothing_after(plane: ControlPlane, namespace: str) -> None:
    with process(plane, namespace, "old") as old, process(plane, namespace, "new") as new:
        async with Cluster(plane.credentials) as user:

            async def led() -> bool:
                return await old.leads() or await new.leads()

            await eventually(led, "a leader")
            first, second = (old, new) if await old.leads() else (new, old)
            await user.apply(agent(namespace, "before"), "user")
            await settled(user, namespace, "before")
            await eventually(second.ready, "the stand-by to be ready")
            assert not await second.leads()
            assert first.alive() == {"leader": True, "synced": True}
            assert second.alive() == {"leader": False, "synced": False}
            first.popen.send_signal(signal.SIGSTOP)
            for number in range(50):
                await user.apply(agent(namespace, f"a{number}"), "user")
            await eventually(second.leads, "the second one to lead", seconds=60)
            for number in range(50):
                await settled(user, namespace, f"a{number}")
            before = {
                found["metadata"]["name"]: found["metadata"]["resourceVersion"] for found in await user.list(AGENT)
            }
            first.popen.send_signal(signal.SIGCONT)
            assert first.popen.wait(timeout=60) == 1
            after = {
                found["metadata"]["name"]: found["metadata"]["resourceVersion"] for found in await user.list(AGENT)
            }
            assert before == after
            assert second.popen.poll() is None
            assert await second.leads()


@pytest.mark.timeout(180)
async def test_killed_in_the_middle_of_its_backlog_it_goes_on_without_a_redundant_write(
    plane: ControlPlane, namespace: str
) -> None:
    async with Cluster(plane.credentials) as user:
        for number in range(300):
            await user.apply(agent(namespace, f"a{number}"), "user")
        with process(plane, namespace, "first") as first:

            async def half_done() -> bool:
                try:
                    return first.metric(r"agentic_operator_writes_total\{[^}]*\}") >= 100
                except OSError:
                    return False

            await eventually(half_done, "some writes")
            first.popen.send_signal(signal.SIGKILL)
            first.popen.wait()
        done = [found for found in await user.list(AGENT, namespace) if found.get("status")]
        assert 0 < len(done) < 300
        versions = {found["metadata"]["name"]: found["metadata"]["resourceVersion"] for found in done}
        with process(plane, namespace, "second"):
            for number in range(300):
                await settled(user, namespace, f"a{number}")
            found = {agent["metadata"]["name"]: agent for agent in await user.list(AGENT, namespace)}
            assert {name: found[name]["metadata"]["resourceVersion"] for name in versions} == versions


async def test_a_terminated_leader_hands_over_at_once(plane: ControlPlane, namespace: str) -> None:
    with process(plane, namespace, "first") as first:
        await eventually(first.leads, "the first one to lead")
        first.popen.send_signal(signal.SIGTERM)
        assert first.popen.wait(timeout=30) == 0
    async with Cluster(plane.credentials) as user:
        lease = await user.get(LEASE.ref("agentic-operator", namespace))
        assert lease
        assert lease["spec"]["holderIdentity"] == ""
    with process(plane, namespace, "second") as second:
        await eventually(second.leads, "the second one to lead", seconds=12)
