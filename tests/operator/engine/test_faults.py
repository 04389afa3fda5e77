"""Faults of the API server: nothing is lost, and no request is retried in a hot loop."""

import asyncio
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from aiohttp import web

from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import CONFIG_MAP
from tests.operator.engine.tiny import AGENT, agent
from tests.operator.engine.world import eventually, prompt, running, settled
from tests.support.apiserver import ControlPlane, control_plane
from tests.support.faults import faulty, slow, status

pytestmark = pytest.mark.slow


async def test_refused_writes_are_repeated_until_they_pass(plane: ControlPlane, namespace: str) -> None:
    refused: Counter[str] = Counter()
    answers = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if request.method not in ("PATCH", "POST") or namespace not in request.path:
            return None
        for code, reason in answers.items():
            if refused[f"{code} {request.path}"] < 1:
                refused[f"{code} {request.path}"] += 1
                return status(code, reason, {"Retry-After": "1"} if code == 429 else None)
        return None

    async with Cluster(plane.credentials) as user, faulty(plane.credentials) as (faults, access), running(access):
        faults.fault = fault
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        assert await prompt(user, namespace, "one") == "Be brief."
    assert set(refused.values()) == {1}
    writes = [line for line in faults.requests if namespace in line and line.startswith(("PATCH", "POST"))]
    assert len(writes) <= 2 * (len(answers) + 1)


async def test_retry_after_is_honoured(plane: ControlPlane, namespace: str) -> None:
    moments: list[float] = []

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            moments.append(asyncio.get_running_loop().time())
            return status(429, "TooManyRequests", {"Retry-After": "2"}) if len(moments) == 1 else None
        return None

    async with faulty(plane.credentials) as (faults, access), Cluster(access) as cluster:
        faults.fault = fault
        await cluster.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}, "t"
        )
    assert 2.0 <= moments[1] - moments[0] < 5.0


async def test_a_broken_and_expired_watch_loses_nothing(plane: ControlPlane, namespace: str) -> None:
    """While watches are down an agent is edited, one is deleted, a child is changed; then the old version is gone."""
    expired: set[str] = set()

    async def unavailable(request: web.Request) -> web.StreamResponse | None:
        return status(503, "ServiceUnavailable") if request.query.get("watch") else None

    async def gone_once(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("watch") and request.path not in expired:
            expired.add(request.path)
            return status(410, "Expired")
        return None

    async with (
        Cluster(plane.credentials) as user,
        faulty(plane.credentials) as (faults, access),
        running(access) as one,
    ):
        for name in ("edited", "deleted", "drifted"):
            await user.apply(agent(namespace, name), "user")
            await settled(user, namespace, name)
        faults.fault = unavailable
        faults.break_watches()
        await user.apply(agent(namespace, "edited", "New."), "user")
        await user.delete(AGENT.ref("deleted", namespace))
        await user.patch(CONFIG_MAP.ref("prompt-drifted", namespace), {"data": {"prompt": "mine"}}, "mallory")
        faults.fault = gone_once
        await settled(user, namespace, "edited", generation=2)

        async def repaired() -> bool:
            drifted = await prompt(user, namespace, "drifted") == "Be brief."
            return drifted and one.engine.index.get(AGENT.ref("deleted", namespace)) is None

        await eventually(repaired, "what happened unseen")
        assert await prompt(user, namespace, "edited") == "New."
    assert expired


async def test_a_server_that_is_down_is_not_asked_in_a_hot_loop(plane: ControlPlane, namespace: str) -> None:
    attempts: defaultdict[str, list[float]] = defaultdict(list)

    async def down(request: web.Request) -> web.StreamResponse | None:
        attempts[request.path].append(asyncio.get_running_loop().time())
        return status(503, "ServiceUnavailable")

    async def retried() -> bool:
        return any(len(moments) >= 6 for moments in attempts.values())

    async with Cluster(plane.credentials) as user, faulty(plane.credentials) as (faults, access), running(access):
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        faults.fault = down
        faults.break_watches()
        await eventually(retried, "six attempts")
        assert [path for path, moments in attempts.items() if len(moments) >= 6 and moments[5] - moments[0] < 1] == []
        faults.fault = None
        await user.apply(agent(namespace, "one", "After."), "user")
        await settled(user, namespace, "one", generation=2)


async def test_a_slow_server_delays_but_breaks_nothing(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user, faulty(plane.credentials) as (faults, access):
        faults.fault = slow(0.5)
        async with running(access) as operator:
            for number in range(20):
                await user.apply(agent(namespace, f"a{number}"), "user")
            for number in range(20):
                await settled(user, namespace, f"a{number}")
            assert operator.total("agentic_operator_writes_total", verb="apply", kind="ConfigMap") <= 20


@pytest.mark.timeout(180)
async def test_the_api_server_restarts(tmp_path: Path) -> None:
    with control_plane(tmp_path) as plane:
        plane.create_namespace("acme")
        async with Cluster(plane.credentials) as user, running(plane.credentials):
            await user.apply(agent("acme", "one"), "user")
            await settled(user, "acme", "one")
            await asyncio.to_thread(plane.stop_apiserver)
            await asyncio.to_thread(plane.start_apiserver)
            await user.apply(agent("acme", "one", "After."), "user")
            await user.apply(agent("acme", "two"), "user")
            await settled(user, "acme", "one", generation=2)
            await settled(user, "acme", "two")
            assert await prompt(user, "acme", "one") == "After."
