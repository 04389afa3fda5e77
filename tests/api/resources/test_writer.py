"""A writer for a kind that no endpoint writes, on a real API server and a real database."""

import secrets
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from agentic_api.audit import Audit
from agentic_api.catalog.catalog import Catalog
from agentic_api.errors import AlreadyExists, GitOpsOnly, PreconditionFailed
from agentic_api.resources.writer import Draft, ResourceWriter
from agentic_core.auth.api_keys import Role
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import CONFIG_MAP, Object, Ref, custom
from agentic_core.db import Database, tables
from agentic_core.errors import Conflict, Invalid, NotFound
from agentic_crds import ModelProvider, Tenant
from tests.api.principals import principal
from tests.support.apiserver import ControlPlane

PROVIDER = custom(ModelProvider)
SPEC: Object = {"type": "openai", "models": [{"name": "gpt"}]}


def notes_of(resource: Object) -> list[Ref]:
    """What is kept beside a resource here: a ConfigMap that it names in an annotation of its spec, its base URL."""
    name = resource["spec"].get("baseUrl", "").removeprefix("https://")
    return [CONFIG_MAP.ref(name, resource["metadata"]["namespace"])] if name else []


def with_note(name: str) -> Draft:
    note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": name}}
    return Draft(SPEC | {"baseUrl": f"https://{name}"}, [note])


class World:
    """A tenant with one namespace, and a writer of ModelProviders for it."""

    def __init__(self, cluster: Cluster, database: Database, namespace: str) -> None:
        self.cluster, self.database, self.namespace = cluster, database, namespace
        caller = principal(uuid4(), f"t{secrets.token_hex(4)}", Role.DEVELOPER)
        self.caller = replace(caller, default_namespace=namespace)
        self.catalog = Catalog()
        status = {"defaultNamespace": namespace, "namespaces": [{"name": namespace, "phase": "Active"}]}
        meta = {"name": self.caller.tenant, "uid": str(self.caller.tenant_id), "resourceVersion": "1"}
        self.catalog.stores[Tenant].put({"metadata": meta, "spec": {}, "status": status})
        self.writer = ResourceWriter(ModelProvider, cluster, self.catalog, audit=Audit(database), beside=notes_of)

    async def stored(self, name: str) -> Object | None:
        return await self.cluster.get(PROVIDER.ref(name, self.namespace))

    async def notes(self) -> list[tuple[str, str, str]]:
        async with self.database.session(self.caller.tenant_id) as session:
            log = tables.audit_log.c
            rows = await session.execute(sa.select(log.action, log.target, log.details).order_by(log.id))
            return [(row.action, row.target, row.details["outcome"]) for row in rows]


@pytest.fixture
async def world(plane: ControlPlane, database: Database, namespace: str) -> AsyncGenerator[World]:
    async with Cluster(plane.credentials) as cluster:
        made = World(cluster, database, namespace)
        async with database.session(made.caller.tenant_id) as session:
            row = {"tenant_id": made.caller.tenant_id, "name": made.caller.tenant}
            await session.execute(tables.tenants.insert().values(row))
        yield made


async def test_a_resource_is_created_changed_and_deleted_with_a_note_of_each(world: World) -> None:
    created = await world.writer.create(world.caller, "p", Draft(SPEC))
    assert world.catalog.find(ModelProvider, world.caller, "p")["metadata"]["uid"] == created["metadata"]["uid"]
    changed = await world.writer.change(
        world.caller, "p", lambda current: Draft(current["spec"] | {"type": "anthropic"}), version="1"
    )
    assert (changed["spec"]["type"], changed["metadata"]["generation"]) == ("anthropic", 2)
    entries = changed["metadata"].get("managedFields", [])
    assert all(entry["operation"] == "Apply" for entry in entries)
    await world.writer.delete(world.caller, f"{world.namespace}.p")
    assert await world.stored("p") is None
    with pytest.raises(NotFound, match="ModelProvider 'p' not found"):
        world.catalog.find(ModelProvider, world.caller, "p")
    target = f"{world.namespace}.p"
    actions = [f"modelprovider.{verb}" for verb in ("create", "update", "delete")]
    assert await world.notes() == [(action, target, how) for action in actions for how in ("intended", "done")]


async def test_a_name_is_taken_once(world: World) -> None:
    await world.writer.create(world.caller, "p", Draft(SPEC))
    with pytest.raises(AlreadyExists, match=f"ModelProvider {world.namespace}.p exists already"):
        await world.writer.create(world.caller, "p", Draft(SPEC))


async def test_what_the_kind_does_not_allow_is_explained(world: World) -> None:
    with pytest.raises(Invalid, match=r"is not accepted: .*an openaiCompatible provider needs baseUrl"):
        await world.writer.create(world.caller, "p", Draft(SPEC | {"type": "openaiCompatible"}))
    assert [how for _, _, how in await world.notes()] == ["intended", "refused"]


async def test_nothing_is_written_into_namespaces_of_others(world: World) -> None:
    for name in ("kube-system.p", "default.p", "P", "a.b.c"):
        with pytest.raises(NotFound):
            await world.writer.create(world.caller, name, Draft(SPEC))
    assert await world.notes() == []


async def test_a_version_that_has_passed_is_refused(world: World) -> None:
    await world.writer.create(world.caller, "p", Draft(SPEC))
    await world.writer.change(world.caller, "p", lambda _: Draft(SPEC | {"type": "anthropic"}), version="1")
    with pytest.raises(PreconditionFailed, match="it has version 2 now, you sent 1"):
        await world.writer.change(world.caller, "p", lambda _: Draft(SPEC), version="1")


async def test_a_write_that_came_between_is_taken_into_account(world: World) -> None:
    await world.writer.create(world.caller, "p", Draft(SPEC))
    seen: list[str] = []

    def edit(current: Object) -> Draft:
        seen.append(current["metadata"]["resourceVersion"])
        return Draft(current["spec"] | {"type": "anthropic"})

    get = world.cluster.get

    async def overtaken(ref: Ref, **options: Any) -> Object | None:
        found = await get(ref, **options)
        if not seen:
            await world.cluster.patch(ref, {"metadata": {"labels": {"a": "b"}}}, "somebody")
        return found

    world.cluster.get = overtaken  # type: ignore[method-assign]
    changed = await world.writer.change(world.caller, "p", edit, version=None)
    assert len(seen) == 2
    assert (changed["metadata"]["labels"], changed["spec"]["type"]) == ({"a": "b"}, "anthropic")


async def test_fields_of_other_managers_are_not_overwritten(world: World) -> None:
    meta = {"name": "p", "namespace": world.namespace}
    theirs = {"apiVersion": PROVIDER.api_version, "kind": PROVIDER.name, "metadata": meta, "spec": SPEC}
    world.catalog.stores[ModelProvider].put(await world.cluster.apply(theirs, "argocd-controller"))
    with pytest.raises(Conflict, match="argocd-controller"):
        await world.writer.change(world.caller, "p", lambda _: Draft(SPEC | {"type": "anthropic"}), version=None)


async def test_what_is_beside_a_resource_is_owned_by_it_and_goes_when_it_is_not_needed(world: World) -> None:
    created = await world.writer.create(world.caller, "p", with_note("first"))
    note = await world.cluster.get(CONFIG_MAP.ref("first", world.namespace))
    assert note is not None
    (owner,) = note["metadata"]["ownerReferences"]
    assert (owner["kind"], UUID(owner["uid"])) == ("ModelProvider", UUID(created["metadata"]["uid"]))
    await world.writer.change(world.caller, "p", lambda _: with_note("second"), version=None)
    kept = [await world.cluster.get(CONFIG_MAP.ref(name, world.namespace)) for name in ("first", "second")]
    assert [bool(found) for found in kept] == [False, True]
    await world.writer.change(world.caller, "p", lambda _: Draft(SPEC), version=None)
    assert await world.cluster.get(CONFIG_MAP.ref("second", world.namespace)) is None


async def test_without_a_cluster_every_write_is_refused_before_it_is_noted(world: World) -> None:
    writer = ResourceWriter(ModelProvider, None, world.catalog, audit=Audit(world.database))
    for write in (
        writer.create(world.caller, "p", Draft(SPEC)),
        writer.change(world.caller, "p", lambda _: Draft(SPEC), version=None),
        writer.delete(world.caller, "p"),
    ):
        with pytest.raises(GitOpsOnly, match="change the ModelProvider in Git"):
            await write
    assert await world.notes() == []
