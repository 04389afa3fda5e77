"""Events: what is written, and how often."""

from datetime import UTC, datetime, timedelta
from typing import cast

from agentic_core.cluster import Cluster, Recorder
from agentic_core.cluster.kinds import Object

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AGENT: Object = {
    "apiVersion": "agentic.io/v1alpha1",
    "kind": "Agent",
    "metadata": {"name": "one", "namespace": "acme", "uid": "u1", "resourceVersion": "7"},
}


class World:
    """A clock, and an API server that keeps what is applied."""

    def __init__(self) -> None:
        self.now = NOW
        self.applied: list[Object] = []
        self.recorder = Recorder(cast("Cluster", self), "operator", clock=lambda: self.now)

    async def apply(self, obj: Object, manager: str) -> Object:
        assert manager == "operator"
        self.applied.append(obj)
        return obj


async def test_an_event_as_a_whole() -> None:
    world = World()
    await world.recorder.event(AGENT, "Restored", message="Put it back", type="Warning")
    (event,) = world.applied
    assert event["metadata"].pop("name").startswith("one.")
    involved = {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "name": "one", "namespace": "acme"}
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "acme"},
        "involvedObject": involved | {"uid": "u1", "resourceVersion": "7"},
        "reason": "Restored",
        "message": "Put it back",
        "type": "Warning",
        "source": {"component": "operator"},
        "reportingComponent": "operator",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }


async def test_the_same_news_are_told_once_in_ten_minutes_with_a_count() -> None:
    world = World()
    for seconds in (0, 1, 599, 600, 601):
        world.now = NOW + timedelta(seconds=seconds)
        await world.recorder.event(AGENT, "Restored", message="Put it back")
    first, again = world.applied
    assert (first["count"], again["count"]) == (1, 4)
    assert first["metadata"]["name"] == again["metadata"]["name"]
    assert again["firstTimestamp"] == "2026-01-02T03:04:05Z"
    assert again["lastTimestamp"] == "2026-01-02T03:14:05Z"


async def test_other_news_and_other_objects_are_told_by_themselves() -> None:
    world = World()
    successor = AGENT | {"metadata": AGENT["metadata"] | {"uid": "u2"}}
    for obj, reason, message in ((AGENT, "A", "x"), (AGENT, "A", "y"), (AGENT, "B", "x"), (successor, "A", "x")):
        await world.recorder.event(obj, reason, message=message)
    assert len({event["metadata"]["name"] for event in world.applied}) == 4


async def test_news_about_a_cluster_scoped_object_are_in_the_default_namespace() -> None:
    world = World()
    metadata = {"name": "t" * 253, "uid": "u"}
    await world.recorder.event(AGENT | {"metadata": metadata}, "A", message="m" * 5000)
    (event,) = world.applied
    assert event["metadata"]["namespace"] == "default"
    assert len(event["metadata"]["name"]) <= 253
    assert len(event["message"]) == 1024
