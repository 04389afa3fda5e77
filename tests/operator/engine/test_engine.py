"""The engine on a real API server, with the smallest controller."""

from collections.abc import Iterable

from agentic_core import names
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import CONFIG_MAP, EVENT, Object, Ref
from agentic_operator.engine.index import Change, Index, Lookup
from agentic_operator.engine.key import ReconcileKey
from tests.operator.engine.tiny import AGENT, TinyController, agent
from tests.operator.engine.world import eventually, prompt, running, settled
from tests.support.apiserver import ControlPlane


def child(namespace: str, name: str, **metadata: object) -> Object:
    place = {"name": f"prompt-{name}", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place | metadata, "data": {"prompt": "theirs"}}


async def news(user: Cluster, namespace: str, reason: str) -> list[str]:
    return [event["message"] for event in await user.list(EVENT, namespace) if event["reason"] == reason]


async def test_an_agent_gets_its_child_and_its_status(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user, running(plane.credentials):
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        made = await user.get(CONFIG_MAP.ref("prompt-one", namespace))
        assert made
        assert made["data"] == {"prompt": "Be brief."}
        assert made["metadata"]["labels"][names.OWNER_NAME] == "one"
        assert made["metadata"]["ownerReferences"][0]["kind"] == "Agent"
        await user.apply(agent(namespace, "one", "Be long."), "user")
        await settled(user, namespace, "one", generation=2)
        assert await prompt(user, namespace, "one") == "Be long."


async def test_half_an_owner_on_a_users_object_stops_nothing(plane: ControlPlane, namespace: str) -> None:
    """Whoever may label an Agent or a ConfigMap could end the operator for all tenants."""
    labels = {names.MANAGED_BY: names.OPERATOR, names.OWNER_KIND: "Agent"}
    async with Cluster(plane.credentials) as user:
        await user.apply(child(namespace, "odd", labels=labels), "user")
        async with running(plane.credentials):
            odd = agent(namespace, "one")
            odd["metadata"]["labels"] = labels
            await user.apply(odd, "user")
            await settled(user, namespace, "one")
            await user.apply(child(namespace, "odder", labels=labels), "user")
            await user.apply(agent(namespace, "two"), "user")
            await settled(user, namespace, "two")


class Choking(TinyController):
    """Raises for agents whose prompt is poison, in its lookup and when it lists what they concern."""

    lookups = (Lookup(AGENT, "length", lambda found: [str(100 // (len(found["spec"]["systemPrompt"]) - 1))]),)

    def related(self, change: Change, index: Index) -> Iterable[Ref]:
        if change.ref.kind == CONFIG_MAP and change.obj["data"]["prompt"] == "theirs":
            raise LookupError("cannot read this one")
        return ()


async def test_what_one_object_breaks_stays_with_it(plane: ControlPlane, namespace: str) -> None:
    ours = {names.MANAGED_BY: names.OPERATOR}
    poison = AGENT.ref("poison", namespace)
    async with Cluster(plane.credentials) as user:
        await user.apply(agent(namespace, "poison", "x"), "user")
        await user.apply(child(namespace, "poison", labels=ours), "user")
        async with running(plane.credentials, Choking()) as operator:
            await user.apply(agent(namespace, "one"), "user")
            await user.apply(agent(namespace, "poison", "y"), "user")
            await user.apply(child(namespace, "odd", labels=ours), "user")
            await user.apply(agent(namespace, "two"), "user")
            await settled(user, namespace, "one")
            await settled(user, namespace, "two")
            rejected = "agentic_operator_objects_rejected_total"
            assert operator.total(rejected, kind="Agent") == 2
            assert operator.total(rejected, kind="ConfigMap") == 1
            assert operator.engine.index.get(poison) is None
            await user.apply(agent(namespace, "poison", "Good."), "user")
            await settled(user, namespace, "poison", generation=3)
            await user.apply(agent(namespace, "poison", "z"), "user")
            await user.delete(poison)

            async def forgotten() -> bool:
                return operator.engine.index.get(poison) is None

            await eventually(forgotten, "the end of the agent")


async def test_a_restart_writes_nothing(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user:
        for number in range(20):
            await user.apply(agent(namespace, f"a{number}"), "user")
        async with running(plane.credentials) as first:
            await eventually(first.quiet, "the first operator to be done")
            assert first.writes >= 40
        async with running(plane.credentials) as second:
            await eventually(second.quiet, "the second operator to be done")
            assert second.total("agentic_operator_reconcile_seconds_count", kind="Agent", outcome="settled") >= 20
            assert second.written == []


async def test_an_edited_child_is_put_back_and_the_culprit_is_named(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user, running(plane.credentials):
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        await user.patch(CONFIG_MAP.ref("prompt-one", namespace), {"data": {"prompt": "mine"}}, "mallory")

        async def repaired() -> bool:
            return await prompt(user, namespace, "one") == "Be brief." and bool(await news(user, namespace, "Restored"))

        await eventually(repaired, "repair")
        told = await news(user, namespace, "Restored")
        assert told == [f"data.prompt of ConfigMap {namespace}/prompt-one was changed by mallory; put it back"]


async def test_a_deleted_child_and_lost_labels_are_put_back(plane: ControlPlane, namespace: str) -> None:
    ref = CONFIG_MAP.ref("prompt-one", namespace)
    async with Cluster(plane.credentials) as user, running(plane.credentials):
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        await user.delete(ref)

        async def there() -> bool:
            return await prompt(user, namespace, "one") == "Be brief."

        await eventually(there, "a new child")
        await user.patch(ref, {"metadata": {"labels": {names.MANAGED_BY: None}}}, "mallory")

        async def labelled() -> bool:
            found = await user.get(ref)
            return bool(found and found["metadata"]["labels"].get(names.MANAGED_BY) == names.OPERATOR)

        await eventually(labelled, "the label")


async def test_a_child_that_went_with_its_owner_was_not_lost(plane: ControlPlane, namespace: str) -> None:
    """Kubernetes deletes it; the next owner of the name has nothing put back, and nothing is kept of the last."""
    one, owned = AGENT.ref("one", namespace), CONFIG_MAP.ref("prompt-one", namespace)
    async with Cluster(plane.credentials) as user, running(plane.credentials) as operator:

        async def forgotten() -> bool:
            return not operator.engine.index.entry(one) and not operator.engine.index.entry(owned)

        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        await user.delete(one)
        await eventually(operator.quiet, "the end of the agent")
        await user.delete(owned)
        await eventually(forgotten, "the end of both")
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        assert await news(user, namespace, "Restored") == []


async def test_a_foreign_object_is_not_taken_over_until_a_person_allows_it(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user, running(plane.credentials) as operator:
        before = await user.apply(child(namespace, "one"), "user")
        await user.apply(agent(namespace, "one"), "user")

        async def conflict() -> bool:
            found = await user.get(AGENT.ref("one", namespace)) or {}
            conditions = {each["type"]: each for each in found.get("status", {}).get("conditions", [])}
            return "Conflict" in conditions and "adopt" in conditions["Ready"]["message"]

        await eventually(conflict, "the condition Conflict")
        after = await user.get(CONFIG_MAP.ref("prompt-one", namespace))
        assert after
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        annotated = child(namespace, "one", annotations={names.ADOPT: "true"})
        await user.apply(annotated, "user")
        operator.engine.queue.add(ReconcileKey("tiny", AGENT.ref("one", namespace)))

        async def adopted() -> bool:
            return await prompt(user, namespace, "one") == "Be brief."

        await eventually(adopted, "adoption")
        await settled(user, namespace, "one")
        assert await news(user, namespace, "Adopted")


async def test_a_finalizer_holds_until_the_children_are_gone(plane: ControlPlane, namespace: str) -> None:
    ref = AGENT.ref("one", namespace)
    async with Cluster(plane.credentials) as user, running(plane.credentials, TinyController(needs_finalizer=True)):
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        found = await user.get(ref)
        assert found
        assert found["metadata"]["finalizers"] == [names.FINALIZER]
        await user.patch(CONFIG_MAP.ref("prompt-one", namespace), {"metadata": {"finalizers": ["test/hold"]}}, "user")
        await user.delete(ref)

        async def deleting() -> bool:
            held = await user.get(CONFIG_MAP.ref("prompt-one", namespace))
            return bool(held and held["metadata"].get("deletionTimestamp"))

        await eventually(deleting, "the child's deletion")
        assert await user.get(ref)
        await user.patch(CONFIG_MAP.ref("prompt-one", namespace), {"metadata": {"finalizers": None}}, "user")

        async def gone() -> bool:
            return await user.get(ref) is None

        await eventually(gone, "the end of the agent")


async def test_what_others_add_to_a_status_stays_and_is_no_reason_to_write(plane: ControlPlane, namespace: str) -> None:
    ref = AGENT.ref("one", namespace)
    theirs = {"type": "Audited", "status": "True", "reason": "Theirs", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    async with Cluster(plane.credentials) as user, running(plane.credentials) as operator:
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        head = {"apiVersion": AGENT.api_version, "kind": "Agent", "metadata": {"name": "one", "namespace": namespace}}
        added = await user.apply_status(head | {"status": {"endpoint": "http://x", "conditions": [theirs]}}, "auditor")

        async def reconciled() -> float:
            """Status writes of one more reconcile."""
            before = operator.total("agentic_operator_writes_total", verb="apply_status")
            ended = operator.total("agentic_operator_reconcile_seconds_count")
            operator.engine.queue.add(ReconcileKey("tiny", ref))

            async def over() -> bool:
                return (
                    operator.total("agentic_operator_reconcile_seconds_count") > ended and operator.engine.queue.quiet
                )

            await eventually(over, "another reconcile")
            return operator.total("agentic_operator_writes_total", verb="apply_status") - before

        async def known() -> bool:
            found = operator.engine.index.entry(ref)
            return bool(found and found.version >= int(added["metadata"]["resourceVersion"]))

        await eventually(known, "the foreign fields in the index")
        await reconciled()
        assert await reconciled() == 0
        found = await user.get(ref)
        assert found
        assert found["status"]["endpoint"] == "http://x"
        assert {one["type"] for one in found["status"]["conditions"]} == {"Ready", "Audited"}


async def test_the_status_keeps_its_transition_time(plane: ControlPlane, namespace: str) -> None:
    async with Cluster(plane.credentials) as user, running(plane.credentials):
        await user.apply(agent(namespace, "one"), "user")
        await settled(user, namespace, "one")
        first = await user.get(AGENT.ref("one", namespace))
        await user.apply(agent(namespace, "one", "Other."), "user")
        await settled(user, namespace, "one", generation=2)
        second = await user.get(AGENT.ref("one", namespace))
    assert first
    assert second
    times = [found["status"]["conditions"][0]["lastTransitionTime"] for found in (first, second)]
    assert times[0] == times[1]
