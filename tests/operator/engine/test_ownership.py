"""How children are marked, and how ours are distinguished from others'."""

from typing import Any

import pytest

from agentic_core import names
from agentic_core.cluster.kinds import Object, ref_of
from agentic_operator.engine import ownership
from tests.operator.engine.tiny import agent

OWNER = agent("acme", "helper") | {"metadata": {"name": "helper", "namespace": "acme", "uid": "u1"}}
TENANT: Object = {
    "apiVersion": "agentic.io/v1alpha1",
    "kind": "Tenant",
    "metadata": {"name": "acme", "uid": "t1"},
    "spec": {},
}


def child(namespace: str | None = "acme", **metadata: Any) -> Object:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"} | place | metadata, "data": {"a": "1"}}


def test_a_child_names_its_owner_and_carries_its_hash() -> None:
    metadata = ownership.owned(child(labels={"x": "y"}), OWNER)["metadata"]
    assert metadata["labels"] == {
        "x": "y",
        names.MANAGED_BY: "agentic-operator",
        names.OWNER_KIND: "Agent",
        names.OWNER_NAME: "helper",
        names.OWNER_NAMESPACE: "acme",
    }
    assert metadata["ownerReferences"][0]["uid"] == "u1"
    assert len(metadata["annotations"][names.SPEC_HASH]) == 20


def test_the_hash_depends_on_the_content_and_not_on_the_order() -> None:
    def digest(data: dict[str, str]) -> str:
        body = ownership.owned(child() | {"data": data}, OWNER)
        return str(body["metadata"]["annotations"][names.SPEC_HASH])

    assert digest({"a": "1", "b": "2"}) == digest({"b": "2", "a": "1"})
    assert digest({"a": "1"}) != digest({"a": "2"})


@pytest.mark.parametrize(
    ("owner", "namespace", "refers"), [(OWNER, "other", 0), (TENANT, "acme", 1), (TENANT, None, 1)]
)
def test_an_owner_reference_stays_inside_a_namespace(owner: Object, namespace: str | None, refers: int) -> None:
    assert len(ownership.owned(child(namespace), owner)["metadata"].get("ownerReferences", [])) == refers


def test_marks_of_argo_cd_are_never_copied() -> None:
    marks = {"app.kubernetes.io/instance": "app", "argocd.argoproj.io/tracking-id": "x", "kept": "yes"}
    metadata = ownership.owned(child(labels=marks, annotations=marks), OWNER)["metadata"]
    for found in (metadata["labels"], metadata["annotations"]):
        assert found["kept"] == "yes"
        assert not [key for key in found if "argoproj" in key or key.endswith("/instance")]


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ({}, False),
        ({"labels": ownership.labels(ref_of(OWNER))}, True),
        ({"labels": ownership.labels(ref_of(OWNER)) | {names.OWNER_NAME: "else"}}, False),
        ({"labels": {names.MANAGED_BY: "agentic-operator"}}, False),
        ({"ownerReferences": [{"uid": "u1"}]}, True),
        ({"managedFields": [{"manager": "agentic-operator", "operation": "Apply"}]}, True),
        ({"managedFields": [{"manager": "kubectl", "operation": "Apply"}]}, False),
    ],
)
def test_ours_are_told_from_others(metadata: dict[str, Any], ours: bool) -> None:
    assert ownership.is_ours(child(**metadata), OWNER) is ours


@pytest.mark.parametrize(("uid", "ours"), [(None, True), ("t1", True), ("t0", False)])
def test_a_namespace_of_an_earlier_tenant_of_the_name_is_not_ours(uid: str | None, ours: bool) -> None:
    marks = ownership.labels(ref_of(TENANT)) | ({names.TENANT_UID: uid} if uid else {})
    assert ownership.is_ours(child(None, labels=marks), TENANT) is ours
