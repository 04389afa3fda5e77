"""Several controllers of one kind: what they may share, and that none disturbs another on a real API server."""

from datetime import datetime
from typing import Any

import pytest

from agentic_core import names
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import CONFIG_MAP, LOCAL, Object
from agentic_crds import Agent, AgentStatus
from agentic_crds.base import Condition
from agentic_operator.controllers.registry import controllers
from agentic_operator.engine.controller import Controllers, ReconcileContext
from agentic_operator.engine.decision import Assessment, Wanted
from agentic_operator.engine.key import ReconcileKey
from tests.operator.controllers.decisions import PLATFORM
from tests.operator.engine.tiny import AGENT, TinyController, agent
from tests.operator.engine.world import Running, eventually, running, settled
from tests.support.apiserver import ControlPlane


class Labelled(TinyController):
    """Keeps a ConfigMap of its own for each agent, reports it in a condition of its own, and holds the agent.

    An agent whose prompt is `none` gets no ConfigMap.
    """

    name = "labelled"
    main = False
    conditions = frozenset({"Labelled"})
    status_fields = frozenset({"endpoint"})
    summary = "Labelled"
    needs_finalizer = True

    def __init__(self, *, cluster: str = LOCAL) -> None:
        self.cluster = cluster
        self.finalized: list[str] = []

    def desired(self, resource: Agent, observed: int) -> Wanted:
        if resource.spec.system_prompt == "none":
            return Wanted()
        metadata = {"name": f"label-{resource.metadata.name}", "namespace": resource.metadata.namespace}
        body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
        return Wanted([body], cluster=self.cluster)

    def assess(self, resource: Agent, observed: int, now: datetime) -> Assessment:
        labelled = Condition(
            type="Labelled",
            status="True",
            reason="Labelled",
            observed_generation=resource.metadata.generation,
            last_transition_time=now,
        )
        return Assessment(AgentStatus(endpoint=f"http://{resource.spec.system_prompt}", conditions=[labelled]))

    async def finalize(self, resource: Agent, ctx: ReconcileContext) -> bool:
        self.finalized.append(resource.metadata.name)
        return True


async def condition(user: Cluster, namespace: str, name: str, kind: str) -> dict[str, Any]:
    """A condition of an agent; empty when it has none of this type."""
    found = await user.get(AGENT.ref(name, namespace)) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


async def both(user: Cluster, namespace: str, name: str, generation: int = 1) -> None:
    """Waits until both controllers have reconciled this generation."""
    await settled(user, namespace, name, generation)

    async def labelled() -> bool:
        return (await condition(user, namespace, name, "Labelled")).get("observedGeneration") == generation

    await eventually(labelled, "the other controller's condition")


async def exists(user: Cluster, namespace: str, name: str) -> bool:
    """Whether there is such a ConfigMap."""
    return await user.get(CONFIG_MAP.ref(name, namespace)) is not None


async def rounds(operator: Running, ended: int) -> None:
    """Waits until so many reconciles have ended and nothing is left to do."""

    async def over() -> bool:
        count = operator.total("agentic_operator_reconcile_seconds_count")
        return count >= ended and await operator.quiet()

    await eventually(over, "the end of the reconciles")


async def test_two_controllers_of_one_kind_do_not_disturb_each_other(plane: ControlPlane, namespace: str) -> None:
    ref = AGENT.ref("one", namespace)
    async with Cluster(plane.credentials) as user, running(plane.credentials, TinyController(), Labelled()) as operator:
        await user.apply(agent(namespace, "one"), "user")
        await both(user, namespace, "one")
        await user.apply(agent(namespace, "one", "Be long."), "user")
        await both(user, namespace, "one", generation=2)
        found = await user.get(ref)
        assert found
        assert {one["type"] for one in found["status"]["conditions"]} == {"Ready", "Labelled"}
        assert (found["status"]["observedGeneration"], found["status"]["endpoint"]) == (2, "http://Be long.")
        managers = {one["manager"] for one in found["metadata"]["managedFields"] if one.get("subresource") == "status"}
        assert managers == {"agentic-operator-status", "agentic-operator-status-labelled"}

        await eventually(operator.quiet, "the end of the reconciles")
        before, ended = operator.writes, operator.total("agentic_operator_reconcile_seconds_count")
        for controller in ("tiny", "labelled"):
            operator.engine.queue.add(ReconcileKey(controller, ref))
        await rounds(operator, int(ended) + 2)
        assert operator.writes == before, "a settled resource is written by none"


async def test_a_restart_with_two_controllers_writes_nothing(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user:
        async with running(plane.credentials, TinyController(), Labelled()):
            await user.apply(agent(namespace, "one"), "user")
            await both(user, namespace, "one")
        async with running(plane.credentials, TinyController(), Labelled()) as second:
            await rounds(second, 2)
            assert second.written == []


async def test_pruning_does_not_cross(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user, running(plane.credentials, TinyController(), Labelled()):
        await user.apply(agent(namespace, "one"), "user")
        await both(user, namespace, "one")
        assert await exists(user, namespace, "prompt-one")
        found = await user.get(CONFIG_MAP.ref("label-one", namespace))
        assert found
        assert found["metadata"]["labels"][names.OWNER_CONTROLLER] == "labelled"
        assert {one["manager"] for one in found["metadata"]["managedFields"]} == {"agentic-operator-labelled"}

        await user.apply(agent(namespace, "one", "none"), "user")
        await both(user, namespace, "one", generation=2)
        assert await exists(user, namespace, "prompt-one")
        assert not await exists(user, namespace, "label-one")


async def test_one_controllers_child_is_foreign_to_the_other(plane: ControlPlane, namespace: str) -> None:
    class Thief(Labelled):
        """Declares the ConfigMap of the other controller as its own."""

        def desired(self, resource: Agent, observed: int) -> Wanted:
            return TinyController.desired(self, resource, observed)

    async with Cluster(plane.credentials) as user, running(plane.credentials, TinyController()):
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
    async with Cluster(plane.credentials) as user, running(plane.credentials, TinyController(), Thief()):

        async def refused() -> bool:
            return (await condition(user, namespace, "one", "Labelled")).get("reason") == "Conflict"

        await eventually(refused, "the refusal")
        assert "belongs to Agent one" in (await condition(user, namespace, "one", "Labelled"))["message"]
        assert (await condition(user, namespace, "one", "Ready"))["status"] == "True"


async def test_each_controller_holds_a_finalizer_of_its_own(plane: ControlPlane, namespace: str) -> None:
    labelled = Labelled()
    tiny = TinyController(needs_finalizer=True)
    async with Cluster(plane.credentials) as user, running(plane.credentials, tiny, labelled):
        await user.apply(agent(namespace, "one"), "user")
        await both(user, namespace, "one")
        found = await user.get(AGENT.ref("one", namespace))
        assert found
        assert set(found["metadata"]["finalizers"]) == {names.FINALIZER, f"{names.FINALIZER}-labelled"}
        await user.delete(AGENT.ref("one", namespace))

        async def gone() -> bool:
            return await user.get(AGENT.ref("one", namespace)) is None

        await eventually(gone, "the end of the agent")
        assert set(labelled.finalized) == {"one"}
        assert not await exists(user, namespace, "label-one")


async def test_an_object_in_a_cluster_without_a_client_is_reported(plane: ControlPlane, namespace: str) -> None:
    far = Labelled(cluster="far")
    async with Cluster(plane.credentials) as user, running(plane.credentials, TinyController(), far):
        await user.apply(agent(namespace, "one"), "user")

        async def refused() -> bool:
            return (await condition(user, namespace, "one", "Labelled")).get("reason") == "Refused"

        await eventually(refused, "the refusal")
        message = (await condition(user, namespace, "one", "Labelled"))["message"]
        assert message == "no client for cluster far: this operator has local"
        await settled(user, namespace, "one")
        assert await exists(user, namespace, "prompt-one")


class SameCondition(Labelled):
    """Owns a condition of the main controller."""

    name = "same-condition"
    conditions = frozenset({"Ready"})


class SameField(Labelled):
    """Owns a field of the main controller."""

    name = "same-field"
    status_fields = frozenset({"observedGeneration"})


class SameName(Labelled):
    """Has the name of the main controller."""

    name = "tiny"


class SecondMain(Labelled):
    """Claims to be the main one."""

    name = "second-main"
    main = True


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (SameCondition(), "both own the conditions Ready"),
        (SameField(), "both own the status fields observedGeneration"),
        (SameName(), "unique names"),
        (SecondMain(), "both the main one"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_controllers_that_would_fight_are_refused_at_the_start(other: TinyController, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Controllers([TinyController(), other])


def test_what_main_controllers_leave_on_objects_carries_no_name_of_theirs() -> None:
    """Else an upgrade from a version with one controller of each kind would write every object."""
    running = controllers(PLATFORM)
    assert [controller.name for controller in running if not controller.main] == ["prompt-versions"]
    for controller in (one for one in running if one.main):
        marks = (controller.label, controller.manager, controller.status_manager, controller.finalizer)
        assert marks == ("", "agentic-operator", "agentic-operator-status", "agentic.io/finalizer")
