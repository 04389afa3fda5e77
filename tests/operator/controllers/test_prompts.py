"""Long prompts on a real API server: one object for all revisions that have it, until none has it any more."""

import itertools

from agentic_core import names
from agentic_core.cluster.kinds import CONFIG_MAP, Object, custom
from agentic_crds import PromptVersion
from tests.operator.harness import AGENT, REVISION, World, eventually, world
from tests.support.apiserver import ControlPlane

PROMPT = custom(PromptVersion)
NAMES = ("one", "two", "three")


async def write(w: World, text: str) -> None:
    """The ConfigMap that agents refer to."""
    metadata = {"name": "prompt", "namespace": w.namespace}
    await w.cluster.apply(
        {"apiVersion": "v1", "kind": CONFIG_MAP.name, "metadata": metadata, "data": {"prompt": text}}, "kubectl"
    )


async def agents(w: World, *agent_names: str, edit: int = 0) -> None:
    """Agents with that prompt, which keep the revision in use only. An edit lets the operator delete older ones."""
    for name in agent_names:
        spec = {"systemPromptFrom": {"name": "prompt"}, "model": {"name": "m"}, "revisionHistoryLimit": 1}
        await w.apply(AGENT, name, spec | {"description": f"edit {edit}"})


async def prompts(w: World) -> list[str]:
    """The texts of the namespace's prompts."""
    return sorted(one["spec"]["text"][:5] for one in await w.cluster.list(PROMPT, w.namespace))


async def revisions(w: World, sha256: str = "") -> list[Object]:
    """The namespace's revisions, of one prompt."""
    found = await w.cluster.list(REVISION, w.namespace)
    return [one for one in found if sha256 in ("", one["spec"].get("promptSha256"))]


async def settled(w: World, text: str, *agent_names: str) -> str:
    """Waits until the agents have the prompt of this text and no other prompt is left; its hash."""
    edits = itertools.count()

    async def look() -> str | None:
        await agents(w, *agent_names, edit=next(edits))
        found = await w.cluster.list(PROMPT, w.namespace)
        if [one["spec"]["text"] for one in found] != [text]:
            return None
        sha256 = str(found[0]["spec"]["sha256"])
        return sha256 if len(await revisions(w, sha256)) == len(agent_names) else None

    return await eventually(look, f"one prompt {text[:5]} of {agent_names}")


async def test_agents_of_one_prompt_share_it_and_take_it_with_them(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await write(w, "first" * 5000)
        sha256 = await settled(w, "first" * 5000, *NAMES)
        await w.roll_out(names.RUNTIME)
        for name in NAMES:
            await w.condition(AGENT.ref(name, w.namespace), "Ready", "True")
        for one in await revisions(w):
            assert one["metadata"]["labels"][names.PROMPT_VERSION] == f"prompt-{sha256[:40]}"
            assert "definition" not in one["spec"]

        await write(w, "other" * 5000)
        await settled(w, "other" * 5000, *NAMES)
        await write(w, "short")

        edits = itertools.count()

        async def inline() -> bool:
            await agents(w, *NAMES, edit=next(edits))
            found = [one["spec"].get("definition", {}).get("systemPrompt") for one in await revisions(w)]
            return found == ["short"] * 3 and await prompts(w) == []

        await eventually(inline, "short prompts in the revisions and no other")


async def test_a_prompt_that_somebody_deleted_is_put_back(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await write(w, "first" * 5000)
        await settled(w, "first" * 5000, "one")
        (prompt,) = await w.cluster.list(PROMPT, w.namespace)
        await w.cluster.delete(PROMPT.ref(prompt["metadata"]["name"], w.namespace))

        async def restored() -> bool:
            found = await w.cluster.list(PROMPT, w.namespace)
            return [one["metadata"]["uid"] for one in found] not in ([], [prompt["metadata"]["uid"]])

        await eventually(restored, "the prompt")


async def test_a_restart_writes_nothing(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await write(w, "first" * 5000)
        await settled(w, "first" * 5000, "one", "two")
        await w.roll_out(names.RUNTIME)
        await w.condition(AGENT.ref("two", w.namespace), "Ready", "True")
        before = await versions(w)
    async with world(plane) as other:
        await other.agent("last")
        await other.roll_out(names.RUNTIME)
        await other.condition(AGENT.ref("last", other.namespace), "Ready", "True")
        assert await versions(w, by=other) == before


async def versions(w: World, *, by: World | None = None) -> dict[str, str]:
    """The resource versions of what the operator wrote for the agents."""
    cluster = (by or w).cluster
    found = [one for kind in (PROMPT, REVISION) for one in await cluster.list(kind, w.namespace)]
    return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in found}
