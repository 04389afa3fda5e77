"""Agents on a real API server: revisions, shared and own runtimes, and what the status says on the way."""

from typing import Any

from agentic_core import names
from agentic_core.cluster.kinds import AUTOSCALER, CONFIG_MAP, DEPLOYMENT, DISRUPTION_BUDGET, SERVICE, Object
from tests.operator.harness import AGENT, PROVIDER, REVISION, TENANT, World, eventually, world
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane


async def ready(w: World, name: str = "one") -> dict[str, Any]:
    """The status of an agent once it is ready."""
    await w.condition(AGENT.ref(name, w.namespace), "Ready", "True")
    return await w.status(name)


async def serving(w: World, name: str = "one") -> dict[str, Any]:
    """A Shared agent that is ready."""
    await w.agent(name)
    await w.roll_out(names.RUNTIME)
    return await ready(w, name)


async def refusal(w: World, reason: str, name: str = "one") -> str:
    """What the agent's condition Ready says once it has this reason."""
    found = await w.condition(AGENT.ref(name, w.namespace), "Ready", "False", reason)
    return str(found["message"])


@requirement("operator", "declarative")
async def test_a_shared_agent_becomes_ready_with_its_runtime(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.agent("one")
        ref = AGENT.ref("one", w.namespace)
        await w.condition(ref, "Ready", "False", "RuntimeStarting")
        status = await w.status("one")
        assert status["latestRevision"].startswith("one-")
        assert "readyRevision" not in status

        await w.roll_out(names.RUNTIME)
        status = await ready(w)
        assert status["readyRevision"] == status["latestRevision"]
        assert status["endpoint"] == f"http://agent-runtime.{w.namespace}.svc:8080"
        assert {one["type"]: one["status"] for one in status["conditions"]} == {
            "Ready": "True", "Resolved": "True", "RuntimeReady": "True",
        }  # fmt: skip
        assert await w.get(SERVICE, names.RUNTIME)
        revision = await w.get(REVISION, status["readyRevision"])
        assert revision
        assert revision["spec"]["definition"]["systemPrompt"] == "Be brief."
        assert revision["metadata"]["ownerReferences"][0]["name"] == "one"


async def test_an_edited_prompt_is_live_without_a_new_pod(plane: ControlPlane) -> None:
    async with world(plane) as w:
        before = await serving(w)
        pods = await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace))
        await w.agent("one", "Be long.")
        after = await ready(w)
        assert after["readyRevision"] != before["readyRevision"]
        assert await w.get(DEPLOYMENT, names.RUNTIME) == pods


async def test_a_broken_edit_leaves_the_last_good_revision(plane: ControlPlane) -> None:
    async with world(plane) as w:
        before = await serving(w)
        await w.agent("one", model={"provider": "nobody", "name": "m"})
        message = await refusal(w, "ProviderNotFound")
        assert message == f"ModelProvider {w.namespace}/nobody not found"
        status = await w.status("one")
        assert status["readyRevision"] == before["readyRevision"]
        conditions = {one["type"]: one["status"] for one in status["conditions"]}
        assert conditions == {"Ready": "False", "Stalled": "True", "Resolved": "False", "RuntimeReady": "True"}
        assert await w.get(REVISION, before["readyRevision"])

        await w.provider("nobody")
        status = await ready(w)
        assert status["readyRevision"] == status["latestRevision"] != before["readyRevision"]


async def test_a_revision_that_cannot_be_stored_is_not_named(plane: ControlPlane) -> None:
    async with world(plane) as w:
        first = (await serving(w))["readyRevision"]
        stored = await w.exists(REVISION.ref(first, w.namespace))
        await w.agent("one", "Second.")
        second = (await ready(w))["readyRevision"]
        await w.cluster.delete(REVISION.ref(first, w.namespace))
        await w.gone(REVISION.ref(first, w.namespace))
        head = {"name": first, "namespace": w.namespace}
        await w.cluster.create(stored | {"metadata": head}, "kubectl")
        await w.agent("one")
        assert first in await refusal(w, "Conflict")
        status = await w.status("one")
        assert (status["readyRevision"], status["latestRevision"]) == (second, second)


async def test_what_an_agent_refers_to_is_watched(plane: ControlPlane) -> None:
    async with world(plane) as w:
        model = {"provider": "models", "name": "m"}
        await w.apply(AGENT, "one", {"model": model, "systemPromptFrom": {"name": "p"}})
        assert await refusal(w, "PromptNotFound") == (
            f"ConfigMap {w.namespace}/p not found; systemPromptFrom refers to it"
        )
        await w.cluster.apply(config_map(w, "First."), "kubectl")
        await w.roll_out(names.RUNTIME)
        first = await ready(w)
        await w.cluster.apply(config_map(w, "Second."), "kubectl")

        async def changed() -> Object | None:
            now = (await w.status("one"))["readyRevision"]
            return await w.get(REVISION, now) if now != first["readyRevision"] else None

        revision = await eventually(changed, "the revision of the edited ConfigMap")
        assert revision["spec"]["definition"]["systemPrompt"] == "Second."

        await w.provider(models=[{"name": "n"}])
        assert "it offers n" in await refusal(w, "ModelNotOffered")
        await w.provider()
        await ready(w)
        await w.apply(TENANT, w.tenant, {"ai": {"models": {"allowed": ["other/*"]}}})
        assert "not allowed for this tenant" in await refusal(w, "ModelNotAllowed")
        await w.apply(TENANT, w.tenant, {})
        await ready(w)
        await w.cluster.delete(PROVIDER.ref("models", w.namespace))
        assert "not found" in await refusal(w, "ProviderNotFound")


def config_map(w: World, prompt: str) -> Object:
    """A prompt in a ConfigMap."""
    metadata = {"name": "p", "namespace": w.namespace}
    return {"apiVersion": "v1", "kind": CONFIG_MAP.name, "metadata": metadata, "data": {"prompt": prompt}}


async def test_the_shared_runtime_goes_with_the_last_shared_agent(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await serving(w)
        await serving(w, "two")
        await w.cluster.delete(AGENT.ref("one", w.namespace))
        await w.gone(AGENT.ref("one", w.namespace))
        await w.agent("two", "Still there.")
        await ready(w, "two")
        assert await w.get(DEPLOYMENT, names.RUNTIME)
        await w.cluster.delete(AGENT.ref("two", w.namespace))
        await w.gone(DEPLOYMENT.ref(names.RUNTIME, w.namespace))
        await w.gone(SERVICE.ref(names.RUNTIME, w.namespace))


@requirement("hpa")
async def test_a_dedicated_agent_has_pods_of_its_own(plane: ControlPlane) -> None:
    async with world(plane) as w:
        runtime = {"mode": "Dedicated", "image": "mine:2", "autoscaling": {"maxReplicas": 3}}
        await w.agent("one", tools=[{"name": "mine", "builtin": "mine"}], runtime=runtime)
        await w.roll_out("agent-one", ready=2)
        status = await ready(w)
        assert status["endpoint"] == f"http://agent-one.{w.namespace}.svc:8080"
        assert status["replicas"] == 2
        assert status["selector"] == "app.kubernetes.io/component=agent-one,app.kubernetes.io/name=agent-runtime"
        assert await w.get(AUTOSCALER, "agent-one")
        assert await w.get(DISRUPTION_BUDGET, "agent-one")
        assert await w.get(DEPLOYMENT, names.RUNTIME) is None

        await w.agent("one", runtime={"mode": "Dedicated", "replicas": 0})
        await w.gone(AUTOSCALER.ref("agent-one", w.namespace))
        await w.gone(DISRUPTION_BUDGET.ref("agent-one", w.namespace))
        await w.report("agent-one", observedGeneration=3)
        assert "scale it up" in await refusal(w, "ScaledToZero")


async def test_a_runtime_that_takes_over_is_waited_for(plane: ControlPlane) -> None:
    async with world(plane) as w:
        shared = await serving(w)
        await w.agent("one", runtime={"mode": "Dedicated"})
        await refusal(w, "RuntimeStarting")
        assert (await w.status("one"))["endpoint"] == shared["endpoint"]
        assert await w.get(DEPLOYMENT, names.RUNTIME)

        await w.roll_out("agent-one")
        await ready(w)
        await w.gone(DEPLOYMENT.ref(names.RUNTIME, w.namespace))

        await w.agent("one")
        await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace))
        assert await w.get(DEPLOYMENT, "agent-one")
        await w.roll_out(names.RUNTIME)
        assert (await ready(w))["endpoint"] == shared["endpoint"]
        await w.gone(DEPLOYMENT.ref("agent-one", w.namespace))
        await w.gone(SERVICE.ref("agent-one", w.namespace))


async def test_trouble_with_pods_is_told(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.agent("one")
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
        await w.report(names.RUNTIME, conditions=[failure])
        assert await refusal(w, "PodsRefused") == "Deployment agent-runtime: exceeded quota"


async def test_old_revisions_go_but_not_the_one_in_use(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.agent("one", revisionHistoryLimit=2)
        await w.roll_out(names.RUNTIME)
        used = (await ready(w))["readyRevision"]
        await w.report(names.RUNTIME, availableReplicas=0)
        await refusal(w, "RuntimeStarting")
        for number in range(4):
            await w.agent("one", f"Number {number}.", revisionHistoryLimit=2)
            await w.condition(AGENT.ref("one", w.namespace), "Ready", "False")

        async def pruned() -> bool:
            found = await w.cluster.list(REVISION, w.namespace)
            latest = (await w.status("one"))["latestRevision"]
            return {one["metadata"]["name"] for one in found} == {used, latest}

        await eventually(pruned, "two revisions")


async def test_an_agent_outside_of_a_tenant_is_told_so(plane: ControlPlane, namespace: str) -> None:
    async with world(plane) as w:
        body = {"apiVersion": AGENT.api_version, "kind": "Agent", "metadata": {"name": "one", "namespace": namespace}}
        await w.cluster.apply(body | {"spec": {"model": {"name": "m"}}}, "kubectl")
        found = await w.condition(AGENT.ref("one", namespace), "Stalled", "True", "NoTenant")
        assert found["message"].startswith(f"Namespace {namespace} belongs to no Tenant")
        assert await w.cluster.list(REVISION, namespace) == []
        assert await w.cluster.list(DEPLOYMENT, namespace) == []


async def test_nothing_is_written_when_nothing_changed(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await serving(w)
        await w.condition(PROVIDER.ref("models", w.namespace), "Reachable", "False")
        before = await versions(w)
    async with world(plane) as other:
        await serving(other)
        assert await versions(other, of=w) == before
    assert {kind for kind, _ in before} == {
        "Tenant",
        "ModelProvider",
        "Agent",
        "AgentRevision",
        "Deployment",
        "Service",
    }


async def versions(w: World, of: World | None = None) -> dict[tuple[str, str], str]:
    """The resource versions of everything that the operator wrote for a tenant."""
    owner, found = of or w, {}
    for kind in (TENANT, AGENT, REVISION, PROVIDER, DEPLOYMENT, SERVICE):
        for one in await w.cluster.list(kind, owner.namespace):
            metadata = one["metadata"]
            if kind.namespaced or metadata["name"] == owner.tenant:
                found[kind.name, metadata["name"]] = metadata["resourceVersion"]
    return found
