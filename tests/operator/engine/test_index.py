"""The index: versions, lookups, and which objects are whose children."""

import pytest

from agentic_core import names
from agentic_core.cluster.kinds import CONFIG_MAP, NAMESPACE, Object, custom, ref_of
from agentic_crds import Tenant
from agentic_operator.engine import ownership
from agentic_operator.engine.index import Index, Lookup
from agentic_operator.engine.key import ReconcileKey
from tests.operator.engine.tiny import AGENT, agent

TENANT = custom(Tenant)
OWNER = ReconcileKey("agent", AGENT.ref("one", "acme"))
CUSTOMER = ReconcileKey("tenant", TENANT.ref("acme"))
OWNERS = {
    ("Agent", ""): ("agent", AGENT),
    ("Agent", "other"): ("other", AGENT),
    ("Tenant", ""): ("tenant", TENANT),
    ("Namespace", ""): ("runtime", NAMESPACE),
}
ONE = OWNER.ref


def new() -> Index:
    lookup = Lookup(AGENT, "prompt", lambda found: [found["spec"]["systemPrompt"]])
    return Index(OWNERS, [lookup])


def version(obj: Object, number: int, uid: str = "u") -> Object:
    """The object as the API server reports it."""
    return obj | {"metadata": obj["metadata"] | {"uid": uid, "resourceVersion": str(number), "generation": 1}}


def child(owner: ReconcileKey, namespace: str, name: str = "c") -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": ownership.labels(owner.ref)}
    return version({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, 5)


def place(name: str, owner: ReconcileKey | None = None) -> Object:
    metadata = {"name": name, "labels": ownership.labels(owner.ref) if owner else {}}
    return version({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, 5)


def test_only_newer_versions_count() -> None:
    index, one = new(), agent("acme", "one", "first")
    change = index.put(version(one, 5))
    assert change
    assert change.edited
    assert index.put(version(one, 5)) is None
    assert index.put(version(agent("acme", "one", "older"), 4)) is None
    assert (index.get(ONE) or {})["spec"]["systemPrompt"] == "first"
    assert index.versions([ONE, AGENT.ref("two", "acme")]) == [5, 0]


def test_a_lookup_finds_what_is_and_not_what_was() -> None:
    index = new()
    index.put(version(agent("acme", "one", "first"), 5))
    index.put(version(agent("acme", "one", "second"), 6))
    assert index.by(AGENT, "prompt", "second") == [ONE]
    assert not index.any(AGENT, "prompt", "first")
    index.drop(version(agent("acme", "one"), 7))
    assert not index.any(AGENT, "prompt", "second")


def test_an_object_that_a_lookup_cannot_read_leaves_the_old_one() -> None:
    index = new()
    index.put(version(agent("acme", "one", "first"), 5))
    with pytest.raises(KeyError):
        index.put(version(agent("acme", "one") | {"spec": {}}, 6))
    assert index.by(AGENT, "prompt", "first") == [ONE]
    assert index.versions([ONE]) == [5]


def test_the_end_of_a_predecessor_is_not_the_end_of_its_successor() -> None:
    index = new()
    index.put(version(agent("acme", "one"), 7, uid="new"))
    assert index.drop(version(agent("acme", "one"), 6, uid="old")) is None
    assert index.get(ONE)


def test_what_was_written_is_known_unless_the_watch_has_told_of_its_end() -> None:
    index, one = new(), agent("acme", "one")
    index.put_written(version(one, 5))
    assert index.versions([ONE]) == [5]
    index.drop(version(one, 6))
    index.put_written(version(one, 5))
    assert index.get(ONE) is None


def test_a_list_names_what_is_stale_but_nothing_newer_than_itself() -> None:
    index = new()
    for name, number in (("gone", 5), ("listed", 6), ("newer", 9)):
        index.put(version(agent("acme", name), number))
    assert index.stale(AGENT, {AGENT.ref("listed", "acme")}, version=8) == [AGENT.ref("gone", "acme")]


def test_what_is_large_and_read_by_nobody_is_not_kept() -> None:
    index, one = new(), version(agent("acme", "one"), 5)
    one["metadata"] |= {"managedFields": [{}], "annotations": {"a": "b"}}
    one["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    index.put(one)
    assert (index.get(ONE) or {})["metadata"]["annotations"] == {"a": "b"}
    assert "managedFields" not in (index.get(ONE) or {})["metadata"]


@pytest.mark.parametrize(
    ("owner", "namespace", "places", "accepted"),
    [
        (OWNER, "acme", [], True),
        (OWNER, "mallory", [], False),
        (ReconcileKey("agent", AGENT.ref("one")), "acme", [], False),
        (CUSTOMER, "acme-default", [place("acme-default", CUSTOMER)], True),
        (CUSTOMER, "mallory", [place("mallory", ReconcileKey("tenant", TENANT.ref("mallory")))], False),
        (CUSTOMER, "mallory", [place("mallory")], False),
        (CUSTOMER, "unknown", [], False),
        (ReconcileKey("runtime", NAMESPACE.ref("acme-default")), "acme-default", [], True),
        (ReconcileKey("runtime", NAMESPACE.ref("acme-default")), "mallory", [], False),
    ],
)
def test_a_child_is_where_its_owners_children_are(
    owner: ReconcileKey, namespace: str, places: list[Object], accepted: bool
) -> None:
    index, found = new(), child(owner, namespace)
    for one in (*places, found):
        index.put(one)
    ref = ref_of(found)
    assert (ref in index.children(owner)) is accepted
    assert index.owns(owner, ref) is accepted


def test_children_of_children_and_half_named_owners_are_nobodys() -> None:
    index = new()
    index.put(place("acme-default", CUSTOMER))
    assert index.children(CUSTOMER) == [NAMESPACE.ref("acme-default")]
    half = child(OWNER, "acme")
    del half["metadata"]["labels"][names.OWNER_NAME]
    index.put(half)
    assert index.children(OWNER) == []
    index.put(child(OWNER, "acme", "whole"))
    index.evict(CONFIG_MAP.ref("whole", "acme"))
    assert index.children(OWNER) == []
