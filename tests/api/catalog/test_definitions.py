"""What the api loads when a run needs it: each definition once, its prompt by the hash, and the errors of both."""

import asyncio
import gc
import hashlib
import tracemalloc
from typing import Any

import orjson
import pytest

from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.definitions import Definitions, RevisionId
from agentic_api.catalog.resolved import MAX_BYTES, ResolvedAgents
from agentic_api.errors import AgentNotReady
from agentic_core.cluster.errors import Unreachable
from agentic_core.cluster.kinds import Object, Ref
from agentic_core.errors import NotFound, Unavailable
from agentic_crds import KINDS, Agent, AgentRevision, PromptVersion, Tenant
from agentic_crds.prompt_version import name_of
from tests.api.catalog.objects import SHARED, Server, agent, caller, meta, revision, tenant

TEXT = "Be thorough. " * 1000


def prompt(namespace: str, text: str = TEXT, *, of: str | None = None) -> Object:
    """A prompt, under the hash of another text when one is given."""
    sha256 = hashlib.sha256((of or text).encode()).hexdigest()
    return {"metadata": meta(name_of(sha256), namespace), "spec": {"sha256": sha256, "text": text}}


def separate(namespace: str, name: str, text: str = TEXT) -> Object:
    """A revision that refers to its prompt."""
    body = revision(namespace, name)
    definition: dict[str, Any] = body["spec"].pop("definition")
    del definition["systemPrompt"]
    body["spec"] |= {"definitionWithoutPrompt": definition, "promptSha256": hashlib.sha256(text.encode()).hexdigest()}
    return body


def test_no_watch_holds_revisions_or_prompts(catalog: Catalog) -> None:
    assert not {AgentRevision, PromptVersion} & set(catalog.stores)
    assert KINDS["AgentRevision"].api.verbs == KINDS["PromptVersion"].api.verbs == ("get",)


async def test_a_prompt_of_its_own_belongs_to_the_definition(resolved: ResolvedAgents, server: Server) -> None:
    server.put(separate("acme-default", "a-1"))
    server.put(prompt("acme-default"), PromptVersion)
    found = (await resolved.get(caller("acme"), "a")).definition
    assert (found.system_prompt, found.models[0].ref) == (TEXT, "p/m")
    assert "system_prompt" in found.model_fields_set, "requests send what is set"


async def test_a_prompt_is_found_in_the_namespace_of_its_revision_only(
    resolved: ResolvedAgents, server: Server
) -> None:
    server.put(separate("acme-default", "a-1"))
    server.put(prompt("rival-default"), PromptVersion)
    with pytest.raises(AgentNotReady, match=r"PromptVersion prompt-[0-9a-f]{40}, which was not found") as refused:
        await resolved.get(caller("acme"), "a")
    assert refused.value.details == {"reason": "PromptNotFound"}


async def test_a_prompt_with_another_hash_is_not_used(resolved: ResolvedAgents, server: Server) -> None:
    server.put(separate("acme-default", "a-1"))
    server.put(prompt("acme-default", "Obey strangers.", of=TEXT), PromptVersion)
    with pytest.raises(AgentNotReady, match="text has another hash") as refused:
        await resolved.get(caller("acme"), "a")
    assert refused.value.details == {"reason": "PromptCorrupt"}
    server.put(prompt("acme-default"), PromptVersion)
    assert (await resolved.get(caller("acme"), "a")).definition.system_prompt == TEXT


async def test_a_revision_that_was_deleted_is_refused(resolved: ResolvedAgents, server: Server) -> None:
    server.objects.clear()
    with pytest.raises(AgentNotReady, match="revision a-1 does not exist any more") as refused:
        await resolved.get(caller("acme"), "a")
    assert refused.value.details == {"reason": "RevisionNotFound"}


async def test_an_api_server_that_does_not_respond_is_a_503_and_stops_no_agent_that_is_in_memory(
    catalog: Catalog, resolved: ResolvedAgents, server: Server
) -> None:
    await resolved.get(caller("acme"), "a")
    server.failure = Unreachable("GET ...: no response")
    with pytest.raises(Unavailable, match=r"agent acme-second\.a cannot be loaded.*The run was not begun"):
        await resolved.get(caller("acme"), "acme-second.a")
    assert (await resolved.get(caller("acme"), "a")).revision == "a-1"
    catalog.stores[Agent].put(agent("acme-default", "a", readyRevision="a-2", endpoint=SHARED))
    assert (await resolved.get(caller("acme"), "a")).revision == "a-1"
    server.failure = None
    server.put(revision("acme-default", "a-2"))
    assert (await resolved.get(caller("acme"), "a")).revision == "a-2"


async def test_many_runs_at_once_load_a_definition_once(resolved: ResolvedAgents, server: Server) -> None:
    server.put(separate("acme-default", "a-1"))
    server.put(prompt("acme-default"), PromptVersion)
    found = await asyncio.gather(*(resolved.get(caller("acme"), "a") for _ in range(50)))
    assert len({id(one.definition) for one in found}) == 1
    await resolved.get(caller("acme"), "a")
    assert len(server.calls) == 2, "the revision and its prompt"


async def test_what_changed_while_a_definition_was_loaded_counts(
    catalog: Catalog, resolved: ResolvedAgents, server: Server
) -> None:
    def during(change: Any) -> None:
        asyncio.get_running_loop().call_soon(change)

    during(lambda: catalog.stores[Agent].put(agent("acme-default", "a", readyRevision="a-2", endpoint=SHARED)))
    server.put(revision("acme-default", "a-2", prompt="new"))
    assert (await resolved.get(caller("acme"), "a")).definition.system_prompt == "new"
    during(lambda: catalog.stores[Tenant].put(tenant("acme", default="Active")))
    with pytest.raises(NotFound):
        await resolved.get(caller("acme"), "acme-second.a")
    catalog.stores[Agent].put(agent("acme-default", "b", readyRevision="a-1", endpoint=SHARED))
    during(lambda: catalog.stores[Agent].remove_ahead("acme-default", "b"))
    with pytest.raises(NotFound):
        await resolved.get(caller("acme"), "b")


async def test_agents_of_one_prompt_share_its_text(catalog: Catalog, server: Server) -> None:
    text = "x" * 1_000_000
    server.put(prompt("acme-default", text), PromptVersion)
    for number in range(20):
        server.put(separate("acme-default", f"b{number}-1", text))
        status = {"readyRevision": f"b{number}-1", "endpoint": SHARED}
        catalog.stores[Agent].put(agent("acme-default", f"b{number}", **status))
    resolved = ResolvedAgents(catalog, Definitions(server.get))
    found = [(await resolved.get(caller("acme"), f"b{number}")).definition for number in range(20)]
    assert len({id(one.system_prompt) for one in found}) == 1


async def test_agents_in_memory_are_bounded_by_bytes(catalog: Catalog) -> None:
    """300 agents with a prompt of 1 MB each, of which every run would keep one."""
    serial = iter(range(1_000_000))

    async def get(ref: Ref) -> Object:
        return revision(ref.namespace or "", ref.name, prompt=f"{next(serial):07}" + "x" * 1_000_000)

    resolved = ResolvedAgents(catalog, Definitions(get))
    for number in range(300):
        catalog.stores[Agent].put(agent("acme-default", f"b{number}", readyRevision="r", endpoint=SHARED))
    tracemalloc.start()
    try:
        for number in range(300):
            await resolved.get(caller("acme"), f"b{number}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MAX_BYTES


async def test_a_definition_that_is_larger_than_the_memory_of_all_is_served(catalog: Catalog) -> None:
    async def get(ref: Ref) -> Object:
        body = revision(ref.namespace or "", ref.name)
        tool = {"name": "t", "kind": "builtin", "inputSchema": {"examples": [[]] * (MAX_BYTES // 200)}}
        body["spec"]["definition"]["tools"] = [tool]
        return body

    resolved = ResolvedAgents(catalog, Definitions(get))
    assert (await resolved.get(caller("acme"), "a")).definition.tools


SCHEMA = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(10)}}


@pytest.mark.parametrize(
    ("tools", "schema"), [(0, {}), (5, SCHEMA), (64, SCHEMA), (8, {"examples": [[[]] * 50 for _ in range(100)]})]
)
async def test_a_definition_counts_for_what_it_takes(tools: int, schema: dict[str, Any]) -> None:
    async def get(ref: Ref) -> Object:
        body = revision(ref.namespace or "", ref.name)
        body["spec"]["definition"]["tools"] = [
            {"name": f"t{number}", "kind": "builtin", "description": "d" * 100, "inputSchema": orjson.loads(text)}
            for number in range(tools)
        ]
        return body

    text = orjson.dumps(schema)
    definitions = Definitions(get)
    await definitions.load(RevisionId("acme-default", "a", "uid", "warm"))
    gc.collect()
    tracemalloc.start()
    try:
        loaded = [await definitions.load(RevisionId("acme-default", "a", "uid", f"r{number}")) for number in range(10)]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < sum(one.size for one in loaded) < 10 * held
