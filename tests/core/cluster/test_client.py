"""The client against a real API server."""

from dataclasses import replace

import pytest

from agentic_core.cluster import Cluster, Options, errors, kinds
from agentic_core.cluster.kinds import Object
from tests.support.apiserver import ControlPlane


def config_map(namespace: str, name: str = "one", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


async def test_applies_gets_lists_and_deletes(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as cluster:
        ref = kinds.CONFIG_MAP.ref("one", namespace)
        assert await cluster.get(ref) is None
        made = await cluster.apply(config_map(namespace, key="value"), "tests")
        assert made["metadata"]["managedFields"][0]["manager"] == "tests"
        found = await cluster.get(ref)
        assert found
        assert found["data"] == {"key": "value"}
        assert [obj["kind"] for obj in await cluster.list(kinds.CONFIG_MAP, namespace)] == ["ConfigMap"]
        assert not await cluster.delete(ref, uid="00000000-0000-0000-0000-000000000000")
        assert await cluster.delete(ref, uid=made["metadata"]["uid"])
        assert not await cluster.delete(ref)


async def test_a_list_of_several_pages_is_whole(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials, Options(page_size=3)) as cluster:
        for number in range(8):
            await cluster.apply(config_map(namespace, f"map-{number}"), "tests")
        pages = [page async for page in cluster.pages(kinds.CONFIG_MAP, namespace)]
    assert [len(page.items) for page in pages] == [3, 3, 2]
    assert len({page.resource_version for page in pages}) == 1


async def test_metadata_only_leaves_the_content_out(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as cluster:
        await cluster.apply(config_map(namespace, secret="x" * 1000), "tests")
        found = await cluster.get(kinds.CONFIG_MAP.ref("one", namespace), metadata_only=True)
        pages = [page async for page in cluster.pages(kinds.CONFIG_MAP, namespace, metadata_only=True)]
    assert found
    assert "data" not in found
    assert [set(item) for item in pages[0].items] == [{"apiVersion", "kind", "metadata"}]


async def test_each_refusal_has_its_error(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as cluster:
        made = await cluster.create(config_map(namespace), "tests")
        with pytest.raises(errors.ObjectConflict) as exists:
            await cluster.create(config_map(namespace), "tests")
        assert exists.value.reason == "AlreadyExists"
        await cluster.apply(config_map(namespace, key="new"), "tests")
        with pytest.raises(errors.ObjectConflict, match="modified"):
            await cluster.replace(made, "tests")
        with pytest.raises(errors.ObjectConflict):
            await cluster.apply(config_map(namespace, key="newer"), "others", force=False)
        with pytest.raises(errors.ObjectNotFound, match="nowhere"):
            await cluster.apply(config_map("nowhere"), "tests")
        with pytest.raises(errors.ObjectInvalid):
            await cluster.apply(config_map(namespace, name="Not a name"), "tests")


async def test_a_wrong_token_is_told_from_other_errors(plane: ControlPlane) -> None:
    async with Cluster(replace(plane.credentials, token="wrong")) as cluster:
        with pytest.raises(errors.Unauthorized):
            await cluster.list(kinds.NAMESPACE)
