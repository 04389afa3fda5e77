"""A store and its watch against a real API server, broken on purpose."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from agentic_core.cluster import Cluster, Credentials, Reflector, Store, Watches
from agentic_core.cluster.kinds import CONFIG_MAP, LIMIT_RANGE, Object, Ref
from agentic_core.cluster.store import OnChange
from agentic_core.tasks import background
from tests.support.apiserver import ControlPlane
from tests.support.faults import faulty, status
from tests.support.waiting import PATIENCE, until


def config_map(namespace: str, name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


@asynccontextmanager
async def stored(
    access: Credentials, namespace: str, *, metadata_only: bool = False, on_change: OnChange | None = None
) -> AsyncIterator[tuple[Store, list[str]]]:
    """A store of ConfigMaps, and what it reports: `+` and the name of what is there, `-` of what was deleted."""
    changes: list[str] = []

    def note(ref: Ref, obj: Object | None) -> None:
        changes.append(f"{'-' if obj is None else '+'} {ref.name}")

    async with Cluster(access) as cluster:
        store = Store(CONFIG_MAP, on_change or note)
        reflector = Reflector(
            cluster=cluster, kind=CONFIG_MAP, sink=store, namespace=namespace, metadata_only=metadata_only
        )
        async with background(reflector.run()):
            await asyncio.wait_for(reflector.synced.wait(), PATIENCE)
            yield store, changes


async def eventually(condition: Callable[[], bool], what: str) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds, what)


async def test_it_has_what_was_and_what_comes(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user:
        await user.apply(config_map(namespace, "old", key="1"), "tests")
        async with stored(plane.credentials, namespace) as (store, changes):
            assert store.names(namespace) == ["old"]
            await user.apply(config_map(namespace, "new"), "tests")
            await user.apply(config_map(namespace, "old", key="x" * 500_000), "tests")
            await user.delete(CONFIG_MAP.ref("new", namespace))
            await eventually(lambda: len(changes) == 4, "four changes")
            assert changes == ["+ old", "+ new", "+ old", "- new"]
            found = store.get(namespace, "old")
            assert found
            assert len(found["data"]["key"]) == 500_000
            assert store.get(namespace, "new") is None


async def test_an_error_about_one_object_stays_with_it(plane: ControlPlane, namespace: str) -> None:
    read: list[str] = []

    def note(ref: Ref, obj: Object | None) -> None:
        if obj and "odd" in obj["data"]:
            raise LookupError("cannot read this one")
        read.append(ref.name)

    async with Cluster(plane.credentials) as cluster:
        await cluster.apply(config_map(namespace, "listed", odd="1"), "tests")
        async with stored(plane.credentials, namespace, on_change=note) as (store, _):
            await cluster.apply(config_map(namespace, "watched", odd="1"), "tests")
            await cluster.apply(config_map(namespace, "plain", even="2"), "tests")
            await eventually(lambda: read == ["plain"], "the object that can be read")
            assert store.names(namespace) == ["listed", "plain", "watched"]


async def test_the_watches_of_a_program_are_complete_together_and_not_once_one_has_ended(plane: ControlPlane) -> None:
    async with Cluster(plane.credentials) as cluster:
        watches = Watches(cluster, [Store(CONFIG_MAP), Store(LIMIT_RANGE)])
        assert not watches.synced
        async with watches.running():
            await eventually(lambda: watches.synced, "both kinds")
        assert not watches.synced


async def test_metadata_only_holds_no_content(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user:
        await user.apply(config_map(namespace, "old", secret="x"), "tests")
        async with stored(plane.credentials, namespace, metadata_only=True) as (store, changes):
            await user.apply(config_map(namespace, "new", secret="x"), "tests")
            await eventually(lambda: len(changes) == 2, "two changes")
            found = [store.get(namespace, name) for name in store.names(namespace)]
            assert len(found) == 2
            assert all(obj and "data" not in obj and obj["kind"] == "ConfigMap" for obj in found)


async def test_an_expired_version_is_listed_anew_and_deletions_are_told(plane: ControlPlane, namespace: str) -> None:
    answers = iter([503, 503, 410])

    async def fault(request: web.Request) -> web.StreamResponse | None:
        code = next(answers, None) if request.query.get("watch") else None
        return status(code, "Expired" if code == 410 else "ServiceUnavailable") if code else None

    async with Cluster(plane.credentials) as user, faulty(plane.credentials) as (faults, access):
        await user.apply(config_map(namespace, "gone"), "tests")
        async with stored(access, namespace) as (store, changes):
            await eventually(lambda: any("watch=true" in line for line in faults.requests), "a watch")
            faults.fault = fault
            faults.break_watches()
            await user.delete(CONFIG_MAP.ref("gone", namespace))
            await user.apply(config_map(namespace, "here"), "tests")
            await eventually(lambda: "- gone" in changes and "+ here" in changes, "what was missed")
            assert store.get(namespace, "gone") is None
    assert next(answers, None) is None
