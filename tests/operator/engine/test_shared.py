"""Objects that several resources refer to: made once, and never deleted under the hands of those who need them."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentic_core.cluster import errors
from agentic_core.cluster.kinds import NAMESPACE, Object, Ref, custom, ref_of
from agentic_crds import PromptVersion
from agentic_operator.controllers.prompt_versions import PromptVersionController
from agentic_operator.engine.children import Children, Owner
from agentic_operator.engine.controller import Controllers
from agentic_operator.engine.decision import SharedObject
from agentic_operator.engine.index import Index
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.shared import SharedObjects
from agentic_operator.engine.writes import Writes
from tests.operator.engine.tiny import AGENT

PROMPT = custom(PromptVersion)
REF = PROMPT.ref("prompt-1", "acme")
SPACE = NAMESPACE.ref("acme")
OWNER = ReconcileKey("prompt-versions", SPACE)
AUTHOR = ReconcileKey("agent", AGENT.ref("one", "acme"))
WANTED = SharedObject(
    {
        "apiVersion": PROMPT.api_version,
        "kind": "PromptVersion",
        "metadata": {"name": "prompt-1", "namespace": "acme"},
        "spec": {"sha256": "1", "text": "x" * 9000},
    },
    OWNER,
)


class Server:
    """An API server whose requests wait until the test lets them go on."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Object] = {}
        self.calls: list[str] = []
        self.version = 100
        self.go = asyncio.Event()
        self.go.set()

    async def create(self, obj: Object, manager: str) -> Object:
        ref = ref_of(obj)
        self.calls.append("create")
        await self.go.wait()
        if ref in self.objects:
            raise errors.ObjectConflict("exists")
        self.version += 1
        metadata = obj["metadata"] | {"uid": f"uid-{self.version}", "resourceVersion": str(self.version)}
        self.objects[ref] = obj | {"metadata": metadata}
        return self.objects[ref]

    async def delete(self, ref: Ref, *, uid: str | None = None) -> bool:
        self.calls.append("delete")
        await self.go.wait()
        found = self.objects.get(ref)
        if found is None or found["metadata"]["uid"] != uid:
            return False
        del self.objects[ref]
        return True


class Prompts(PromptVersionController):
    """The controller, told which prompts are referred to."""

    def __init__(self, referenced: Iterable[Ref] = ()) -> None:
        self.referenced = set(referenced)

    def is_referenced(self, child: Ref, index: Index) -> bool:
        return child in self.referenced


class World:
    """The engine's parts around the server, with a namespace."""

    def __init__(self) -> None:
        self.server, self.prompts = Server(), Prompts()
        controllers = Controllers([self.prompts])
        self.index = Index(controllers.owners, metadata_only=[PROMPT])
        cluster = cast("Any", self.server)
        writes = Writes(self.index, lambda _change, _author: None)
        self.shared = SharedObjects(cluster, self.index, writes=writes, controllers=controllers)
        self.children = Children(
            {"local": cluster}, self.index, writes=writes, recorder=cast("Any", SimpleNamespace()), shared=self.shared
        )
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "acme", "uid": "n"}}
        namespace["metadata"] |= {"resourceVersion": "1"}  # type: ignore[operator]
        self.index.put(namespace)
        self.owner = Owner(namespace, self.prompts)

    async def hold(self, *, until: asyncio.Event | None = None) -> None:
        """What a reconcile does that needs the prompt."""
        async with self.shared.held([WANTED], AUTHOR):
            assert REF in self.server.objects, "it exists inside the block"
            if until:
                await until.wait()
            assert REF in self.server.objects

    async def prune(self) -> None:
        await self.children.prune(self.owner, keep=())


async def turns(count: int = 10) -> None:
    """Let others run until they wait for something."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_many_need_at_once_is_created_once() -> None:
    world = World()
    world.server.go.clear()
    holding = [asyncio.create_task(world.hold()) for _ in range(20)]
    await turns()
    world.server.go.set()
    await asyncio.gather(*holding)
    assert world.server.calls == ["create"]


async def test_the_index_keeps_no_contents_of_it() -> None:
    world = World()
    await world.hold()
    entry = world.index.entry(REF)
    assert entry
    assert len(entry.data) < 1000


async def test_what_is_held_is_not_deleted() -> None:
    world, release = World(), asyncio.Event()
    holding = asyncio.create_task(world.hold(until=release))
    await turns()
    await world.prune()
    assert world.server.calls == ["create"]
    release.set()
    await holding
    await world.prune()
    assert world.server.calls == ["create", "delete"]


async def test_what_was_referred_to_meanwhile_is_not_deleted() -> None:
    """The references that the controller observed are older than the deletion."""
    world = World()
    await world.hold()
    world.prompts.referenced.add(REF)
    await world.prune()
    assert REF in world.server.objects


async def test_who_needs_what_is_being_deleted_waits_and_creates_it_again() -> None:
    world = World()
    await world.hold()
    world.server.go.clear()
    pruning = asyncio.create_task(world.prune())
    await turns()
    holding = asyncio.create_task(world.hold())
    await turns()
    assert world.server.calls == ["create", "delete"], "it does not rely on what is on its way out"
    world.server.go.set()
    await asyncio.gather(pruning, holding)
    assert world.server.calls == ["create", "delete", "create"], "though the watch still has the old one"
    (found,) = world.server.objects.values()
    entry = world.index.entry(REF)
    assert entry
    assert entry.uid == found["metadata"]["uid"]


async def test_a_late_event_of_the_deletion_does_not_end_the_successor() -> None:
    world = World()
    await world.hold()
    old = world.index.get(REF)
    await world.prune()
    await world.hold()
    assert old
    old["metadata"]["resourceVersion"] = "102"
    world.index.drop(old)
    assert world.index.entry(REF)
    await world.hold()
    assert world.server.calls == ["create", "delete", "create"]


async def test_a_deletion_that_fails_leaves_it_as_it_is() -> None:
    world = World()
    await world.hold()
    world.server.objects[REF]["metadata"]["uid"] = "another"
    await world.prune()
    await world.hold()
    assert world.server.calls == ["create", "delete"]


async def test_what_the_api_server_refuses_is_not_held() -> None:
    world = World()

    async def refuse(obj: Object, manager: str) -> Object:
        raise errors.RequestForbidden("the namespace is being terminated")

    world.server.create = refuse  # type: ignore[method-assign]
    with pytest.raises(errors.RequestForbidden):
        await world.hold()
    with world.shared.deletion(REF) as may_delete:
        assert may_delete
