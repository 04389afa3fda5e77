"""The engine on a real API server, with the smallest controller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentic_core import names
from agentic_core.cluster import Cluster, Options, kinds
from agentic_core.cluster.kinds import CONFIG_MAP, Object
from agentic_operator.engine.controller import Controller
from agentic_operator.engine.engine import Engine
from agentic_operator.engine.metrics import Metrics
from tests.operator.engine.tiny import AGENT, TinyController, agent
from tests.support.apiserver import ControlPlane


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(plane: ControlPlane, *controllers: Controller[Any, Any]) -> AsyncIterator[Engine]:
    """A synced engine."""
    metrics, stop = Metrics(), asyncio.Event()
    async with Cluster(plane.credentials, Options(observer=metrics.requested)) as cluster:
        engine = Engine(cluster, plane.credentials, controllers=controllers or [TinyController()], metrics=metrics)
        task = asyncio.create_task(engine.run(stop))
        try:
            waiting = asyncio.create_task(engine.synced.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            yield engine
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)


async def test_an_agent_gets_its_child_and_its_status(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user, running(plane):
        await user.apply(agent(namespace, "one"), "user")

        async def ready() -> bool:
            found = await user.get(AGENT.ref("one", namespace))
            return bool(found and found.get("status", {}).get("observedGeneration") == 1)

        await eventually(ready)
        child = await user.get(CONFIG_MAP.ref("prompt-one", namespace))
        assert child
        assert child["data"] == {"prompt": "Be brief."}
        assert child["metadata"]["labels"][names.OWNER_NAME] == "one"
        assert child["metadata"]["ownerReferences"][0]["kind"] == "Agent"
