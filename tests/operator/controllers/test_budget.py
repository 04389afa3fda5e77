"""The byte budget of a tenant: what is granted fits, whoever else is reconciled at the same time."""

from dataclasses import replace
from typing import Any

import pytest

from agentic_core import names
from agentic_core.cluster.kinds import Object, Ref, custom
from agentic_crds import PromptVersion
from agentic_operator.controllers.agent.budget import AMOUNTS, EXCEEDED, DefinitionBudgets, TenantBudget
from agentic_operator.controllers.agent.desired import desired
from agentic_operator.controllers.agent.status import BUDGET_PAUSE, assess
from agentic_operator.engine.index import Index
from tests.operator.controllers.decisions import AVAILABLE, NOW, PLATFORM, condition, deployment, shown
from tests.operator.controllers.test_agent_decisions import BEFORE, agent, latest, observed
from tests.operator.harness import AGENT, REVISION, TENANT, World, eventually, world
from tests.support.apiserver import ControlPlane

PLACE = "acme-default"
PROMPT = custom(PromptVersion)
SPACES = (PLACE, "acme-second")
BUDGET = TenantBudget("acme", 100, SPACES)
ONE, TWO, THREE = (AGENT.ref(name, PLACE) for name in ("one", "two", "three"))


def stored(ref: Ref, size: int | str = "", version: int = 1) -> Object:
    """An object as the index gets it."""
    annotations = {"annotations": {names.STORED_BYTES: str(size)}} if size != "" else {}
    metadata = {"name": ref.name, "namespace": ref.namespace, "uid": ref.name, "resourceVersion": str(version)}
    return {"apiVersion": ref.kind.api_version, "kind": ref.kind.name, "metadata": metadata | annotations}


@pytest.fixture
def index() -> Index:
    filled = Index(metadata_only=[REVISION, PROMPT], amounts=AMOUNTS)
    for ref in (ONE, TWO, THREE):
        filled.put(stored(ref))
    return filled


def test_what_exists_counts_in_all_namespaces_of_the_tenant(index: Index) -> None:
    index.put(stored(REVISION.ref("a-1", PLACE), 10))
    index.put(stored(PROMPT.ref("p-1", "acme-second"), 20))
    index.put(stored(PROMPT.ref("p-1", "rival-default"), 40))
    index.put(stored(REVISION.ref("old", PLACE)))
    index.put(stored(REVISION.ref("odd", PLACE), "-7"))
    index.put(stored(AGENT.ref("cheat", PLACE), 1000))
    assert BUDGET.used(index) == 30
    index.put(stored(REVISION.ref("a-1", PLACE), 11, version=2))
    assert BUDGET.used(index) == 31
    index.evict(PROMPT.ref("p-1", "acme-second"))
    assert BUDGET.used(index) == 11


def test_agents_that_are_reconciled_at_once_do_not_exceed_it_together(index: Index) -> None:
    budgets = DefinitionBudgets()
    granted = [
        budgets.reserve(one, {REVISION.ref(f"{one.name}-1", PLACE): 45}, BUDGET, index=index) is None
        for one in (ONE, TWO, THREE)
    ]
    assert granted == [True, True, False]
    index.put(stored(REVISION.ref("one-1", PLACE), 45))
    assert budgets.reserve(THREE, {REVISION.ref("three-1", PLACE): 45}, BUDGET, index=index)
    assert budgets.reserve(THREE, {REVISION.ref("three-1", PLACE): 10}, BUDGET, index=index) is None


def test_a_prompt_that_several_agents_need_counts_once(index: Index) -> None:
    budgets, prompt = DefinitionBudgets(), {PROMPT.ref("p-1", PLACE): 70}
    for one in (ONE, TWO, THREE):
        needed = prompt | {REVISION.ref(f"{one.name}-1", PLACE): 10}
        assert budgets.reserve(one, needed, BUDGET, index=index) is None
    assert budgets.reserve(ONE, {REVISION.ref("one-2", PLACE): 11}, BUDGET, index=index)


def test_what_an_agent_reserved_and_needs_no_more_is_free(index: Index) -> None:
    budgets = DefinitionBudgets()
    assert budgets.reserve(ONE, {REVISION.ref("one-1", PLACE): 90}, BUDGET, index=index) is None
    assert budgets.reserve(TWO, {REVISION.ref("two-1", PLACE): 90}, BUDGET, index=index)
    assert budgets.reserve(ONE, {}, BUDGET, index=index) is None
    assert budgets.reserve(TWO, {REVISION.ref("two-1", PLACE): 90}, BUDGET, index=index) is None
    index.evict(TWO)
    assert budgets.reserve(THREE, {REVISION.ref("three-1", PLACE): 90}, BUDGET, index=index) is None


def test_refused_agents_are_tried_again_when_something_of_their_tenant_was_deleted(index: Index) -> None:
    budgets, too_much = DefinitionBudgets(), {REVISION.ref("x", PLACE): 101}
    for one in (ONE, TWO, THREE):
        assert budgets.reserve(one, too_much, BUDGET, index=index)
    assert budgets.refused("acme-second", index) == [ONE, TWO, THREE]
    assert budgets.refused("rival-default", index) == []
    index.evict(TWO)
    budgets.reserve(ONE, {}, BUDGET, index=index)
    assert budgets.refused(PLACE, index) == [THREE]
    many = [AGENT.ref(f"a{number}", PLACE) for number in range(100)]
    for one in many:
        index.put(stored(one))
        assert budgets.reserve(one, too_much, BUDGET, index=index)
    assert len(budgets.refused(PLACE, index)) == 8


def test_another_tenant_has_a_budget_of_its_own(index: Index) -> None:
    budgets, rival = DefinitionBudgets(), TenantBudget("rival", 100, ("rival-default",))
    assert budgets.reserve(ONE, {REVISION.ref("one-1", PLACE): 90}, BUDGET, index=index) is None
    assert budgets.reserve(TWO, {REVISION.ref("two-1", "rival-default"): 90}, rival, index=index) is None


def test_what_exists_needs_no_room(index: Index) -> None:
    """A limit that was lowered takes nothing away."""
    index.put(stored(REVISION.ref("one-1", PLACE), 500))
    assert DefinitionBudgets().reserve(ONE, {REVISION.ref("one-1", PLACE): 500}, BUDGET, index=index) is None


def test_an_agent_without_room_keeps_what_serves_and_makes_room_of_its_own() -> None:
    one = agent(BEFORE, revisionHistoryLimit=3)
    problem = DefinitionBudgets().reserve(
        ONE, {REVISION.ref("one-1", PLACE): 9_000_000}, replace(BUDGET, limit=2**20), index=Index(amounts=AMOUNTS)
    )
    assert problem
    message = (
        "Definitions of tenant acme use 0.0 Mi of 1Mi, and the new revision needs 8.6 Mi; shorten prompts, lower"
        " revisionHistoryLimit, delete agents, or let the platform team raise spec.quotas.definitionBytes of the"
        " Tenant. The revision in use goes on serving"
    )
    assert (problem.reason, problem.message) == (EXCEEDED, message)
    found = observed(
        one,
        *("one-old", "one-good", "one-new"),
        shared=deployment("agent-runtime", **AVAILABLE),
        over_budget=problem,
        children=frozenset(REVISION.ref(name, PLACE) for name in ("one-old", "one-good", "one-new")),
    )
    wanted = desired(one, found, PLATFORM)
    assert (wanted.objects, wanted.shared) == ((), ())
    assert wanted.keep == {REVISION.ref("one-good", PLACE), REVISION.ref("one-new", PLACE)}
    assessment = assess(one, found, NOW)
    assert assessment.requeue_after == BUDGET_PAUSE
    assert shown(assessment) == BEFORE | {
        "observedGeneration": 3,
        "conditions": [
            condition("Ready", "False", EXCEEDED, message),
            condition("Stalled", "True", EXCEEDED, message),
            condition("Resolved", "False", EXCEEDED, message),
            condition("RuntimeReady", "True", "RuntimeAvailable", "Deployment agent-runtime serves"),
        ],
    }
    assert latest(one) not in BEFORE.values()


async def used(w: World) -> int:
    """Bytes of the specs that are stored, as the API server has them."""
    found = [one for kind in (REVISION, PROMPT) for one in await w.cluster.list(kind, w.namespace)]
    return sum(int(one["metadata"]["annotations"][names.STORED_BYTES]) for one in found)


async def prompt(w: World, name: str, text: str, **more: Any) -> None:
    """An agent with a long prompt of its own."""
    metadata = {"name": name, "namespace": w.namespace}
    await w.cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"prompt": text}}, "k"
    )
    await w.apply(AGENT, name, {"systemPromptFrom": {"name": name}, "model": {"name": "m"}} | more)


async def test_a_tenant_stays_within_its_budget_however_many_agents_it_edits_at_once(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.apply(TENANT, w.tenant, {"quotas": {"definitionBytes": "64Ki"}})
        count = 12
        for number in range(count):
            await prompt(w, f"a{number}", f"{number:02}" * 5000)

        async def decided() -> bool:
            assert await used(w) <= 64 * 1024
            states = [await w.status(f"a{number}") for number in range(count)]
            return all(one.get("conditions") for one in states)

        await eventually(decided, "a status of each agent")
        refused = [n for n in range(count) if not (await w.status(f"a{n}")).get("latestRevision")]
        assert len(refused) == count - 6, "a prompt takes 10 KB, a revision a third of one"
        ref = AGENT.ref(f"a{refused[0]}", w.namespace)
        found = await w.condition(ref, "Resolved", "False", EXCEEDED)
        assert "of 64Ki" in found["message"] or "of 65536" in found["message"]
        await w.apply(TENANT, w.tenant, {"quotas": {"definitionBytes": "1Mi"}})
        for number in range(count):
            await w.condition(AGENT.ref(f"a{number}", w.namespace), "Resolved", "True")
