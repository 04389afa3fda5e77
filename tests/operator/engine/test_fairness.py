"""A tenant whose agents all fail, on a real API server that refuses their children, and another one's edit."""

import asyncio
import time
from collections import Counter

import pytest
from aiohttp import web

from agentic_core.cluster import Cluster
from agentic_operator.engine.engine import WORKERS
from tests.operator.engine.tiny import agent
from tests.operator.engine.world import eventually, prompt, running, settled
from tests.support.apiserver import ControlPlane
from tests.support.faults import faulty, status

pytestmark = pytest.mark.slow

FAILING = 1000


@pytest.mark.timeout(180)
async def test_a_thousand_failing_agents_do_not_delay_anothers_edit(plane: ControlPlane, namespace: str) -> None:
    plane.create_namespace(f"{namespace}-b")
    refused: Counter[str] = Counter()

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" or f"/namespaces/{namespace}/configmaps" not in request.path:
            return None
        refused[request.path] += 1
        return status(403, "Forbidden")

    async with Cluster(plane.credentials) as user, faulty(plane.credentials) as (faults, access):
        faults.fault = refuse
        slots = asyncio.Semaphore(WORKERS)

        async def create(number: int) -> None:
            async with slots:
                await user.apply(agent(namespace, f"a{number}"), "user")

        await asyncio.gather(*(create(number) for number in range(FAILING)))
        await user.apply(agent(f"{namespace}-b", "one"), "user")
        async with running(access) as operator:
            await settled(user, f"{namespace}-b", "one")

            async def failing() -> bool:
                return len(refused) >= FAILING // 10

            await eventually(failing, "the first failures")
            waiting, before = len(operator.engine.queue), refused.total()
            assert waiting > FAILING // 2, "the backlog is the point"
            edited = time.monotonic()
            await user.apply(agent(f"{namespace}-b", "one", "Edited."), "user")

            async def live() -> bool:
                return await prompt(user, f"{namespace}-b", "one") == "Edited."

            await eventually(live, "the edit")
            delay, between = time.monotonic() - edited, refused.total() - before
            print(f"edit live after {1000 * delay:.0f} ms and {between} of the {waiting} keys of the other tenant")
            assert between < waiting // 4
            assert len(operator.engine.queue) > 0
