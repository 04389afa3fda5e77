"""The store keeps the newest state of each object, whatever the source and order of its events."""

import tracemalloc
from collections.abc import Callable
from typing import Any

from agentic_core.cluster.kinds import Object, Ref, custom
from agentic_core.cluster.store import Store, compact
from agentic_crds import Agent

AGENT = custom(Agent)


def agent(name: str, version: int, namespace: str = "n", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}, "spec": spec}


def test_an_older_state_does_not_replace_a_newer_one() -> None:
    store = Store(AGENT)
    store.put(agent("a", 5, new=True))
    store.put(agent("a", 4, new=False))
    found = store.get("n", "a")
    assert found is not None
    assert found["spec"] == {"new": True}


def test_what_was_deleted_here_does_not_come_back_by_late_news() -> None:
    store = Store(AGENT)
    store.put(agent("a", 5))
    store.remove_ahead("n", "a")
    store.put(agent("a", 5))
    assert store.get("n", "a") is None
    store.drop(agent("a", 6))
    store.put(agent("a", 7))
    assert store.version("n", "a") == 7


def test_late_news_of_a_deletion_does_not_hit_the_successor() -> None:
    store = Store(AGENT)
    store.put(agent("a", 5))
    store.put(agent("a", 9))
    store.drop(agent("a", 6))
    assert store.version("n", "a") == 9


def test_a_fresh_list_removes_what_it_does_not_have_but_not_what_is_newer() -> None:
    changes: list[tuple[str, bool]] = []

    def note(ref: Ref, obj: Object | None) -> None:
        changes.append((ref.name, obj is not None))

    store = Store(AGENT, note)
    for version, name in enumerate(("a", "b", "c"), start=1):
        store.put(agent(name, version))
    store.put(agent("d", 12))
    changes.clear()
    store.retain({AGENT.ref("b", "n")}, 10)
    assert store.names("n") == ["b", "d"]
    assert changes == [("a", False), ("c", False)]


def test_names_are_sorted_and_start_after() -> None:
    store = Store(AGENT)
    for name in ("c", "a", "b"):
        store.put(agent(name, 1))
    assert store.names("n") == ["a", "b", "c"]
    assert store.names("n", after="a") == ["b", "c"]
    store.put(agent("aa", 2))
    assert store.names("n", after="a") == ["aa", "b", "c"]
    store.remove_ahead("n", "b")
    assert store.names("n", after="aa") == ["c"]
    assert store.names("elsewhere") == []


def test_managed_fields_cost_no_memory() -> None:
    store = Store(AGENT)
    item = agent("a", 1)
    item["metadata"]["managedFields"] = [{"manager": "m"}]
    store.put(item)
    found = store.get("n", "a")
    assert found is not None
    assert "managedFields" not in found["metadata"]


def test_each_change_is_reported_once_whoever_brings_it() -> None:
    changes: list[str] = []
    store = Store(AGENT, lambda ref, obj: changes.append(f"{ref.namespace}.{ref.name}" if obj else "gone"))
    store.put(agent("a", 5))  # as it was written
    store.put(agent("a", 5))  # as the watch brings it
    store.put(agent("a", 6))
    store.remove_ahead("n", "a")
    store.drop(agent("a", 7))
    assert changes == ["n.a", "n.a", "gone"]


def test_an_object_takes_the_memory_of_its_json() -> None:
    """What orjson returns has room for some kilobytes more."""
    length = len(compact(agent("a", 1)))
    assert traced(lambda: [compact(agent("a", 1)) for _ in range(1000)]) < 1000 * (length + 64)


def traced(build: Callable[[], object]) -> int:
    """Bytes of memory that the result of `build` holds."""
    tracemalloc.start()
    try:
        held = build()
        size, _ = tracemalloc.get_traced_memory()
        del held
        return size
    finally:
        tracemalloc.stop()
