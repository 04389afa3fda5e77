"""Agents on a real API server: revisions, shared and own runtimes, and what the status says on the way."""

from collections.abc import AsyncIterator

import pytest

from agentic_core import names
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import SERVICE
from tests.operator.harness import AGENT, REVISION, World, operator
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane


@pytest.fixture
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    """A tenant with a provider, and an operator."""
    async with Cluster(plane.credentials) as cluster, operator(plane):
        world = World(cluster)
        await world.settle()
        await world.provider()
        yield world


@requirement("operator", "declarative")
async def test_a_shared_agent_becomes_ready_with_its_runtime(world: World) -> None:
    await world.agent("one")
    ref = AGENT.ref("one", world.namespace)
    await world.condition(ref, "Ready", "False", "RuntimeStarting")
    status = await world.status("one")
    assert status["latestRevision"].startswith("one-")
    assert "readyRevision" not in status

    await world.roll_out(names.RUNTIME)
    await world.condition(ref, "Ready", "True")
    status = await world.status("one")
    assert status["readyRevision"] == status["latestRevision"]
    assert status["endpoint"] == f"http://agent-runtime.{world.namespace}.svc:8080"
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "Ready": "True", "Resolved": "True", "RuntimeReady": "True",
    }  # fmt: skip
    assert await world.get(SERVICE, names.RUNTIME)
    revision = await world.get(REVISION, status["readyRevision"])
    assert revision
    assert revision["spec"]["definition"]["systemPrompt"] == "Be brief."
    assert revision["metadata"]["ownerReferences"][0]["name"] == "one"
