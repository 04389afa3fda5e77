"""Which agents a caller sees and what runs for them."""

from typing import Any
from uuid import UUID

import pytest

from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.resolved import ResolvedAgents
from agentic_api.errors import AgentNotReady
from agentic_core.errors import NotFound
from agentic_crds import KINDS, Agent, KindEntry, Tenant, Writer
from tests.api.catalog.objects import SHARED, Server, agent, caller, meta, revision, tenant
from tests.crds.gadget import GADGET, Gadget, GadgetRecord


@pytest.mark.parametrize(
    ("agent_id", "namespace"),
    [("a", "acme-default"), ("acme-default.a", "acme-default"), ("acme-second.a", "acme-second")],
)
async def test_an_id_without_a_namespace_means_the_default_one(
    resolved: ResolvedAgents, agent_id: str, namespace: str
) -> None:
    found = await resolved.get(caller("acme"), agent_id)
    assert (found.namespace, found.definition.system_prompt, found.endpoint) == (
        namespace,
        namespace,
        f"http://agent-runtime.{namespace}.svc:8080",
    )


@pytest.mark.parametrize(
    "agent_id",
    [
        "b",
        "rival-default.a",
        "acme-stolen.a",
        "acme-default.b",
        "A",
        "",
        ".",
        "a.",
        ".a",
        "x.y.a",
        "a/b",
        "a" * 300,
        "é",
    ],
)
async def test_ids_of_nobody_and_of_other_tenants_are_not_found(
    catalog: Catalog, resolved: ResolvedAgents, agent_id: str
) -> None:
    for _ in range(2):
        with pytest.raises(NotFound):
            await resolved.get(caller("acme"), agent_id)
        with pytest.raises(NotFound):
            catalog.find(Agent, caller("acme"), agent_id)


async def test_a_namespace_that_changed_hands_is_not_served_from_memory(
    catalog: Catalog, resolved: ResolvedAgents
) -> None:
    await resolved.get(caller("acme"), "acme-second.a")
    catalog.stores[Tenant].put(tenant("acme", default="Active"))
    with pytest.raises(NotFound):
        await resolved.get(caller("acme"), "acme-second.a")


def test_pages_show_the_tenants_namespaces_only(catalog: Catalog) -> None:
    shown, after = catalog.page(Agent, caller("acme"), limit=10, after=None)
    assert [item["metadata"]["namespace"] for item in shown] == ["acme-default", "acme-second"]
    assert after is None
    first, after = catalog.page(Agent, caller("acme"), limit=1, after=None)
    assert (len(first), after) == (1, "acme-default.a")
    rest, after = catalog.page(Agent, caller("acme"), limit=1, after=after)
    assert (rest[0]["metadata"]["namespace"], after) == ("acme-second", None)


def gadget(namespace: str, name: str) -> dict[str, Any]:
    return {"metadata": meta(name, namespace), "spec": {"wheelCount": 3}}


def test_every_kind_that_the_api_may_read_is_found_and_listed_by_the_same_rules() -> None:
    with KINDS.registered(GADGET, KindEntry(model=GadgetRecord, writer=Writer.OPERATOR)):
        catalog = Catalog()
    assert Gadget in catalog.stores
    assert GadgetRecord not in catalog.stores, "the api has no right to read it"
    catalog.stores[Tenant].put(tenant("acme", default="Active"))
    for namespace in ("acme-default", "rival-default"):
        catalog.stores[Gadget].put(gadget(namespace, "a"))
    for name in ("a", "acme-default.a"):
        assert catalog.find(Gadget, caller("acme"), name)["metadata"]["namespace"] == "acme-default"
    for name in ("b", "rival-default.a"):
        with pytest.raises(NotFound, match=f"Gadget '{name}' not found in the namespaces of your tenant"):
            catalog.find(Gadget, caller("acme"), name)
    shown, after = catalog.page(Gadget, caller("acme"), limit=10, after=None)
    assert ([item["metadata"]["namespace"] for item in shown], after) == (["acme-default"], None)


async def test_an_agent_that_was_deleted_while_its_revision_was_on_its_way_is_not_served(
    catalog: Catalog, resolved: ResolvedAgents
) -> None:
    await resolved.get(caller("acme"), "a")
    catalog.stores[Agent].put(agent("acme-default", "a", readyRevision="a-2", endpoint=SHARED))
    assert (await resolved.get(caller("acme"), "a")).revision == "a-1"
    catalog.stores[Agent].remove_ahead("acme-default", "a")
    with pytest.raises(NotFound):
        await resolved.get(caller("acme"), "a")


async def test_an_agent_that_is_not_ready_is_refused_with_the_reason(
    catalog: Catalog, resolved: ResolvedAgents
) -> None:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "ProviderNotFound",
        "message": "ModelProvider x not found",
    }
    catalog.stores[Agent].put(agent("acme-default", "b", conditions=[condition]))
    with pytest.raises(AgentNotReady, match="ModelProvider x not found") as refused:
        await resolved.get(caller("acme"), "b")
    assert refused.value.details == {"reason": "ProviderNotFound"}


async def test_a_revision_of_a_newer_operator_is_read(
    catalog: Catalog, resolved: ResolvedAgents, server: Server
) -> None:
    newer = revision("acme-default", "a-1", prompt="newer")
    definition = newer["spec"]["definition"]
    definition |= {"new": 1, "limits": {"maxTokens": 7, "new": 1}}
    definition["models"][0]["new"] = {"deep": 1}
    newer["spec"]["new"] = 1
    server.put(newer)
    found = (await resolved.get(caller("acme"), "a")).definition
    assert (found.system_prompt, found.limits.max_tokens, found.models[0].ref) == ("newer", 7, "p/m")


async def test_a_revision_of_an_older_operator_is_read(
    catalog: Catalog, resolved: ResolvedAgents, server: Server
) -> None:
    older = revision("acme-default", "a-1")
    older["spec"]["definition"] |= {"tools": ["calculator"], "temperature": None}
    server.put(older)
    (tool,) = (await resolved.get(caller("acme"), "a")).definition.tools
    assert (tool.name, tool.kind, tool.builtin) == ("calculator", "builtin", "calculator")


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({}, "spec.definition: "),
        ({"definition": "x"}, "spec.definition: "),
        ({"definition": {"wire": "telepathy", "models": []}}, "spec.definition.wire: "),
    ],
)
async def test_a_revision_that_cannot_be_read_says_so(
    catalog: Catalog, resolved: ResolvedAgents, server: Server, spec: dict[str, Any], where: str
) -> None:
    server.put({"metadata": meta("a-1", "acme-default"), "spec": spec})
    with pytest.raises(AgentNotReady, match=r"revision a-1 cannot be read by this version of the api") as raised:
        await resolved.get(caller("acme"), "a")
    assert where in raised.value.message
    assert raised.value.details == {"reason": "RevisionUnreadable"}


async def test_the_old_revision_serves_until_the_new_one_has_arrived(
    catalog: Catalog, resolved: ResolvedAgents, server: Server
) -> None:
    assert (await resolved.get(caller("acme"), "a")).revision == "a-1"
    catalog.stores[Agent].put(agent("acme-default", "a", readyRevision="a-2", endpoint=SHARED))
    assert (await resolved.get(caller("acme"), "a")).revision == "a-1"
    server.put(revision("acme-default", "a-2", prompt="new"))
    assert (await resolved.get(caller("acme"), "a")).definition.system_prompt == "new"


async def test_an_agent_that_was_made_again_is_not_served_by_what_the_old_one_had(
    catalog: Catalog, resolved: ResolvedAgents, server: Server
) -> None:
    """Though no request came while there was none of this name."""
    old = await resolved.get(caller("acme"), "a")
    again = agent("acme-default", "a", readyRevision="a-2", endpoint=SHARED)
    again["metadata"]["uid"] = str(UUID(int=2))
    catalog.stores[Agent].put(again)
    with pytest.raises(AgentNotReady):
        await resolved.get(caller("acme"), "a")
    server.put(revision("acme-default", "a-2", prompt="new"))
    new = await resolved.get(caller("acme"), "a")
    assert (new.revision, new.definition.system_prompt) == ("a-2", "new")
    assert old.revision == "a-1"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://thief.example.com",
        "http://169.254.169.254",
        "http://agentic-gateway.agentic-system.svc:8080",
        "http://agent-runtime.rival-default.svc:8080",
        "http://agent-b.acme-default.svc:8080",
        f"{SHARED}/elsewhere",
        f"{SHARED}@thief.example.com",
    ],
)
async def test_a_status_sends_no_conversation_out_of_its_namespace(
    catalog: Catalog, resolved: ResolvedAgents, endpoint: str
) -> None:
    catalog.stores[Agent].put(agent("acme-default", "a", readyRevision="a-1", endpoint=endpoint))
    with pytest.raises(AgentNotReady, match="no runtime of its namespace") as refused:
        await resolved.get(caller("acme"), "a")
    assert refused.value.details == {"reason": "ForeignEndpoint"}


async def test_a_definition_is_parsed_once(catalog: Catalog, resolved: ResolvedAgents) -> None:
    first = await resolved.get(caller("acme"), "a")
    assert await resolved.get(caller("acme"), "a") is first
    catalog.stores[Agent].put(
        agent("acme-default", "a", readyRevision="a-1", endpoint="http://agent-a.acme-default.svc:8080")
    )
    moved = await resolved.get(caller("acme"), "a")
    assert moved.endpoint == "http://agent-a.acme-default.svc:8080"
    assert moved.definition is first.definition
