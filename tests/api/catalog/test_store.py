"""The store keeps the newest state of each object, whoever tells it and in whatever order."""

from typing import Any

from agentic_api.catalog.store import Store
from agentic_core.cluster.kinds import custom
from agentic_crds import Agent

AGENT = custom(Agent)


def agent(name: str, version: int, namespace: str = "n", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}, "spec": spec}


def test_an_older_state_does_not_replace_a_newer_one() -> None:
    store = Store()
    store.put(agent("a", 5, new=True))
    store.put(agent("a", 4, new=False))
    found = store.get("n", "a")
    assert found is not None
    assert found["spec"] == {"new": True}


def test_what_was_deleted_here_does_not_come_back_by_late_news() -> None:
    store = Store()
    store.put(agent("a", 5))
    store.remove_ahead("n", "a")
    store.put(agent("a", 5))
    assert store.get("n", "a") is None
    store.drop(agent("a", 6))
    store.put(agent("a", 7))
    assert store.version("n", "a") == 7


def test_late_news_of_a_deletion_does_not_hit_the_successor() -> None:
    store = Store()
    store.put(agent("a", 5))
    store.put(agent("a", 9))
    store.drop(agent("a", 6))
    assert store.version("n", "a") == 9


def test_a_fresh_list_removes_what_it_does_not_have_but_not_what_is_newer() -> None:
    told: list[str] = []
    store = Store(told.append)
    for version, name in enumerate(("a", "b", "c"), start=1):
        store.put(agent(name, version))
    store.put(agent("d", 12))
    told.clear()
    store.retain({AGENT.ref("b", "n")}, 10)
    assert store.names("n", after=None) == ["b", "d"]
    assert told == ["a", "c"]


def test_names_are_sorted_and_start_after() -> None:
    store = Store()
    for name in ("c", "a", "b"):
        store.put(agent(name, 1))
    assert store.names("n", after=None) == ["a", "b", "c"]
    assert store.names("n", after="a") == ["b", "c"]
    store.put(agent("aa", 2))
    assert store.names("n", after="a") == ["aa", "b", "c"]
    store.remove_ahead("n", "b")
    assert store.names("n", after="aa") == ["c"]
    assert store.names("elsewhere", after=None) == []


def test_managed_fields_cost_no_memory() -> None:
    store = Store()
    item = agent("a", 1)
    item["metadata"]["managedFields"] = [{"manager": "m"}]
    store.put(item)
    found = store.get("n", "a")
    assert found is not None
    assert "managedFields" not in found["metadata"]
