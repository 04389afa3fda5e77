"""The watch cache against a real API server, broken on purpose."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from agentic_core.cluster import Cluster, Credentials, WatchCache
from agentic_core.cluster.kinds import CONFIG_MAP, Object
from tests.support.apiserver import ControlPlane
from tests.support.faults import faulty, status
from tests.support.waiting import PATIENCE, until


def config_map(namespace: str, name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


@asynccontextmanager
async def cached(
    access: Credentials, namespace: str, *, metadata_only: bool = False
) -> AsyncIterator[tuple[WatchCache, list[str]]]:
    events: list[str] = []

    def tell(change: str, obj: Object) -> None:
        events.append(f"{change} {obj['metadata']['name']}")

    async with Cluster(access) as cluster:
        cache = WatchCache(cluster, CONFIG_MAP, namespace=namespace, metadata_only=metadata_only, on_event=tell)
        task = asyncio.create_task(cache.run())
        await asyncio.wait_for(cache.synced.wait(), PATIENCE)
        try:
            yield cache, events
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds, what)


async def test_it_knows_what_was_and_what_comes(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user:
        await user.apply(config_map(namespace, "old", key="1"), "tests")
        async with cached(plane.credentials, namespace) as (cache, events):
            assert [obj["metadata"]["name"] for obj in cache.list(namespace)] == ["old"]
            await user.apply(config_map(namespace, "new"), "tests")
            await user.apply(config_map(namespace, "old", key="x" * 500_000), "tests")
            await user.delete(CONFIG_MAP.ref("new", namespace))
            await eventually(lambda: len(events) == 4, "four events")
            assert events == ["ADDED old", "ADDED new", "MODIFIED old", "DELETED new"]
            found = cache.get("old", namespace)
            assert found
            assert len(found["data"]["key"]) == 500_000
            assert cache.get("new", namespace) is None


async def test_a_listener_that_chokes_on_one_object_hears_of_the_others(plane: ControlPlane, namespace: str) -> None:
    heard: list[str] = []

    def hear(_change: str, obj: Object) -> None:
        if "odd" in obj["data"]:
            raise LookupError("cannot read this one")
        heard.append(obj["metadata"]["name"])

    async with Cluster(plane.credentials) as cluster:
        await cluster.apply(config_map(namespace, "listed", odd="1"), "tests")
        cache = WatchCache(cluster, CONFIG_MAP, namespace=namespace, on_event=hear)
        task = asyncio.create_task(cache.run())
        await asyncio.wait_for(cache.synced.wait(), PATIENCE)
        await cluster.apply(config_map(namespace, "told", odd="1"), "tests")
        await cluster.apply(config_map(namespace, "plain", even="2"), "tests")
        await eventually(lambda: heard == ["plain"], "the event")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_metadata_only_holds_no_content(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user:
        await user.apply(config_map(namespace, "old", secret="x"), "tests")
        async with cached(plane.credentials, namespace, metadata_only=True) as (cache, events):
            await user.apply(config_map(namespace, "new", secret="x"), "tests")
            await eventually(lambda: len(events) == 2, "two events")
            assert all("data" not in obj and obj["kind"] == "ConfigMap" for obj in cache.list())


async def test_an_expired_version_is_listed_anew_and_deletions_are_told(plane: ControlPlane, namespace: str) -> None:
    answers = iter([503, 503, 410])

    async def fault(request: web.Request) -> web.StreamResponse | None:
        code = next(answers, None) if request.query.get("watch") else None
        return status(code, "Expired" if code == 410 else "ServiceUnavailable") if code else None

    async with Cluster(plane.credentials) as user, faulty(plane.credentials) as (faults, access):
        await user.apply(config_map(namespace, "gone"), "tests")
        async with cached(access, namespace) as (cache, events):
            await eventually(lambda: any("watch=true" in line for line in faults.requests), "a watch")
            faults.fault = fault
            faults.break_watches()
            await user.delete(CONFIG_MAP.ref("gone", namespace))
            await user.apply(config_map(namespace, "here"), "tests")
            await eventually(lambda: "DELETED gone" in events and "ADDED here" in events, "what was missed")
            assert cache.get("gone", namespace) is None
    assert next(answers, None) is None
