"""What a tenant makes under the name of a runtime before the operator does: no run is sent there."""

from typing import Any

import pytest

from agentic_core import names
from agentic_core.cluster.kinds import DEPLOYMENT, NAMESPACE, SERVICE, Object
from tests.operator.harness import AGENT, World, eventually, world
from tests.support.apiserver import ControlPlane

RUNTIMES = {"Shared": names.RUNTIME, "Dedicated": "agent-one"}
EXTERNAL: Object = {"type": "ExternalName", "externalName": "thief.example.com"}
THEIRS: Object = {"selector": {"app": "thief"}, "ports": [{"port": 8080}]}
FORGED = {names.MANAGED_BY: names.OPERATOR, names.OWNER_KIND: "Agent", names.OWNER_NAME: "two"}


async def squat(w: World, name: str, spec: Object, labels: dict[str, str] | None = None) -> None:
    """A Service of the tenant's."""
    await w.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": w.namespace, "labels": labels or {}},
            "spec": spec,
        },
        "kubectl",
    )


async def squat_deployment(w: World, name: str, labels: dict[str, str] | None = None) -> None:
    """A Deployment of the tenant's, which is available."""
    pods = {"app": "thief"}
    spec: Object = {
        "selector": {"matchLabels": pods},
        "template": {"metadata": {"labels": pods}, "spec": {"containers": [{"name": "c", "image": "thief"}]}},
    }
    head = {"name": name, "namespace": w.namespace, "labels": labels or {}}
    await w.cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": spec}, "kubectl")
    await w.roll_out(name)


async def conflicted(w: World, what: str) -> dict[str, Any]:
    """The status of the agent once it says that there is a conflict about this object."""
    ready = await w.condition(AGENT.ref("one", w.namespace), "Ready", "False", "Conflict")
    assert f"{what} exists and" in ready["message"]
    assert "agentic.io/adopt=true" in ready["message"]
    await w.condition(AGENT.ref("one", w.namespace), "Conflict", "True", "ForeignObject")
    status = await w.status("one")
    assert "endpoint" not in status, "the api sends runs there"
    return status


@pytest.mark.parametrize("mode", RUNTIMES)
@pytest.mark.parametrize("spec", [EXTERNAL, THEIRS], ids=["ExternalName", "selector"])
@pytest.mark.parametrize("labels", [{}, FORGED], ids=["unlabelled", "forged"])
async def test_a_service_of_a_tenant_in_the_place_of_a_runtimes_gets_no_runs(
    plane: ControlPlane, mode: str, spec: Object, labels: dict[str, str]
) -> None:
    async with world(plane) as w:
        name = RUNTIMES[mode]
        await squat(w, name, spec, labels)
        await w.agent("one", runtime={"mode": mode})
        await w.roll_out(name)
        status = await conflicted(w, f"Service {w.namespace}/{name}")
        assert {one["type"]: one["status"] for one in status["conditions"]}["RuntimeReady"] == "False"

        await w.cluster.delete(SERVICE.ref(name, w.namespace))
        await w.condition(AGENT.ref("one", w.namespace), "Ready", "True")
        assert (await w.status("one"))["endpoint"] == f"http://{name}.{w.namespace}.svc:8080"


@pytest.mark.parametrize("mode", RUNTIMES)
@pytest.mark.parametrize("labels", [{}, FORGED], ids=["unlabelled", "forged"])
async def test_a_deployment_of_a_tenant_in_the_place_of_a_runtimes_gets_no_runs(
    plane: ControlPlane, mode: str, labels: dict[str, str]
) -> None:
    async with world(plane) as w:
        name = RUNTIMES[mode]
        await squat_deployment(w, name, labels)
        await w.agent("one", runtime={"mode": mode})
        await conflicted(w, f"Deployment {w.namespace}/{name}")

        await w.cluster.delete(DEPLOYMENT.ref(name, w.namespace))
        await w.roll_out(name)
        await w.condition(AGENT.ref("one", w.namespace), "Ready", "True")


async def test_an_agent_that_was_ready_loses_its_endpoint(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.agent("one")
        await w.roll_out(names.RUNTIME)
        await w.condition(AGENT.ref("one", w.namespace), "Ready", "True")
        theirs = {"metadata": {"labels": FORGED}}
        await w.cluster.patch(SERVICE.ref(names.RUNTIME, w.namespace), theirs, "kubectl")

        async def put_back() -> bool:
            found = await w.exists(SERVICE.ref(names.RUNTIME, w.namespace))
            return bool(found["metadata"]["labels"][names.OWNER_KIND] == NAMESPACE.name)

        await eventually(put_back, "the labels of the Service")
        await w.condition(AGENT.ref("one", w.namespace), "Ready", "True")


@pytest.mark.parametrize("mode", RUNTIMES)
async def test_a_service_that_is_handed_over_leads_to_the_runtime(plane: ControlPlane, mode: str) -> None:
    async with world(plane) as w:
        name = RUNTIMES[mode]
        await squat(w, name, EXTERNAL)
        await w.agent("one", runtime={"mode": mode})
        await w.roll_out(name)
        await conflicted(w, f"Service {w.namespace}/{name}")
        adopt = {"metadata": {"annotations": {names.ADOPT: "true"}}}
        await w.cluster.patch(SERVICE.ref(name, w.namespace), adopt, "kubectl")
        await w.condition(AGENT.ref("one", w.namespace), "Ready", "True")
        spec = (await w.exists(SERVICE.ref(name, w.namespace)))["spec"]
        assert spec["type"] == "ClusterIP", "with this type an external name means nothing"
        assert spec["selector"] == {names.NAME: names.RUNTIME, names.COMPONENT: name}


async def test_labels_of_the_operator_on_a_service_of_a_tenant_have_it_put_right(plane: ControlPlane) -> None:
    """With exactly the labels of the runtime's own it is taken for that, and becomes it."""
    async with world(plane) as w:
        labels = {names.MANAGED_BY: names.OPERATOR, names.OWNER_KIND: "Namespace", names.OWNER_NAME: w.namespace}
        await squat(w, names.RUNTIME, EXTERNAL, labels)
        await w.agent("one")
        await w.roll_out(names.RUNTIME)
        await w.condition(AGENT.ref("one", w.namespace), "Ready", "True")
        spec = (await w.exists(SERVICE.ref(names.RUNTIME, w.namespace)))["spec"]
        assert spec["type"] == "ClusterIP"
        assert spec["selector"] == {names.NAME: names.RUNTIME, names.COMPONENT: names.RUNTIME}
