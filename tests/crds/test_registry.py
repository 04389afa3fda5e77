"""A kind is added by one model and one entry: all that follows from them is tried with kinds that there are not."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import Kind, custom, ref_of
from agentic_crds import KINDS, KindEntry, ModelProvider, Tenant, Writer, chart, generate, reference
from agentic_crds.tenant import Quotas
from agentic_gateway.route.resources import ClusterResources
from agentic_operator import rbac
from agentic_operator.controllers.tenant import observe
from agentic_operator.desired import namespace
from tests.crds import columns
from tests.crds.gadget import GADGET, RECORD, Gadget
from tests.manifests import charts

BEFORE = tuple(KINDS)


@pytest.fixture
def gadgets() -> Iterator[None]:
    with KINDS.registered(GADGET, RECORD):
        yield
    assert tuple(KINDS) == BEFORE


def verbs(rules: list[dict[str, Any]], resource: str) -> list[str]:
    """What rules allow with a resource."""
    return sorted({verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]})


@pytest.mark.parametrize("kind", [*BEFORE, GADGET, RECORD], ids=lambda kind: kind.name)
def test_columns_answer_whether_it_works_and_why_not(kind: KindEntry) -> None:
    assert list(columns.complaints(kind)) == []


@pytest.mark.usefixtures("gadgets")
def test_names_are_taken_once() -> None:
    class Cart(Gadget):
        kind_name = "Cart"
        plural = "carts"

    with pytest.raises(ValueError, match="another kind has the name gg"):
        KINDS.register(KindEntry(model=Cart, writer=Writer.TENANT))


@pytest.mark.usefixtures("gadgets")
def test_definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["generate", str(tmp_path)])
    generate.main()
    assert {"gadgets.yaml", "gadgetrecords.yaml", "agents.yaml"} <= {file.name for file in tmp_path.iterdir()}
    assert (tmp_path / "gadgets.yaml").read_text() == generate.render(Gadget)


@pytest.mark.usefixtures("gadgets")
def test_rights_of_the_operator() -> None:
    assert verbs(rbac.rules(), "gadgets") == ["get", "list", "patch", "watch"]
    assert verbs(rbac.rules(), "gadgets/status") == ["patch"]
    assert verbs(rbac.rules(), "gadgetrecords") == ["create", "delete", "get", "list", "patch", "watch"]
    assert verbs(rbac.rules(), "gadgetrecords/status") == []


def test_what_the_chart_has_to_know_is_up_to_date() -> None:
    assert (charts.PLATFORM / "files/kinds.yaml").read_text() == chart.render(), "run make generate"


@pytest.mark.usefixtures("gadgets")
def test_roles_and_admission_policies_of_the_chart(tmp_path: Path) -> None:
    folder = tmp_path / "chart"
    shutil.copytree(charts.PLATFORM, folder)
    (folder / "files/kinds.yaml").write_text(chart.render())
    objects = charts.parse(charts.template(folder, {}))

    def guarded(policy: str) -> list[str]:
        found = charts.one(objects, "ValidatingAdmissionPolicy", policy)
        resources: list[str] = found["spec"]["matchConstraints"]["resourceRules"][0]["resources"]
        return resources

    api, gateway = (charts.one(objects, "ClusterRole", f"agentic-{name}")["rules"] for name in ("api", "gateway"))
    assert verbs(api, "gadgets") == ["create", "delete", "get", "list", "patch", "watch"]
    assert verbs(api, "gadgetrecords") == verbs(gateway, "gadgets") == ["get", "list", "watch"]
    assert verbs(gateway, "gadgetrecords") == []
    assert guarded("agentic-kinds-by-operator") == ["agentrevisions", "promptversions", "gadgetrecords"]
    assert "gadgets/status" in guarded("agentic-status-by-operator")
    assert "gadgets" in guarded("agentic-operator-finalizers")
    assert "gadgets" in guarded("agentic-api-in-tenants")
    viewer, developer = (
        charts.one(objects, "ClusterRole", f"agentic-tenant-{level}-rules")["rules"]
        for level in ("viewer", "developer")
    )
    assert verbs(viewer, "gadgets") == verbs(viewer, "gadgetrecords") == ["get", "list", "watch"]
    assert verbs(developer, "gadgets") == ["create", "delete", "deletecollection", "patch", "update"]
    assert verbs(developer, "gadgetrecords") == []


@pytest.mark.usefixtures("gadgets")
def test_quota() -> None:
    assert namespace.hard(Quotas())["count/gadgets.agentic.io"] == "30"
    assert namespace.hard(Quotas(objects={"gadgets": 2}))["count/gadgets.agentic.io"] == "2"
    assert "count/gadgetrecords.agentic.io" not in namespace.hard(Quotas())
    rules = generate.schema(Tenant)["properties"]["spec"]["properties"]["quotas"]["properties"]["objects"]
    assert "'gadgets'" in rules["x-kubernetes-validations"][0]["rule"]


@pytest.mark.usefixtures("gadgets")
def test_a_limit_of_a_kind_that_tenants_do_not_write_is_a_mistake() -> None:
    for plural in ("gadgetrecords", "gadget", "agents"):
        with pytest.raises(ValidationError, match="names plurals of kinds that tenants write, other than agents"):
            Quotas(objects={plural: 2})


@pytest.mark.usefixtures("gadgets")
async def test_a_namespace_that_has_one_is_retained() -> None:
    listed: list[Kind] = []

    async def objects(kind: Kind, _namespace: str) -> list[dict[str, Any]]:
        listed.append(kind)
        return [{}] if kind == custom(Gadget) else []

    index = SimpleNamespace(get=lambda _ref: None, any=lambda *_: False)
    context = cast("Any", SimpleNamespace(index=index, cluster=SimpleNamespace(list=objects)))
    assert await observe._stays("acme-old", "u1", context)
    assert custom(RECORD.model) not in listed, "what the operator makes retains nothing"


def test_the_gateway_watches_what_it_may_read() -> None:
    with KINDS.registered(GADGET, RECORD):
        resources = ClusterResources(cast("Cluster", None))
    assert {Tenant, ModelProvider, Gadget} == set(resources.stores)


@pytest.mark.usefixtures("gadgets")
def test_the_reference() -> None:
    page = reference.page()
    assert "`gadgets`, `gg`; written by tenants; at most 30 in a namespace where the Tenant sets no limit." in page
    assert "| `wheelCount` | integer | How many wheels it has. Default: `4`. (≥ 1, ≤ 8) |" in page
    assert "`gadgetrecords`; written by the operator only." in page


@pytest.mark.usefixtures("gadgets")
def test_references_to_objects() -> None:
    found = ref_of(Gadget.model_validate({"metadata": {"name": "a", "namespace": "n"}, "spec": {}}).manifest())
    assert found == custom(Gadget).ref("a", "n")
    assert found.path == "/apis/agentic.io/v1alpha1/namespaces/n/gadgets/a"


def test_without_registration_there_is_no_such_kind() -> None:
    with pytest.raises(KeyError):
        ref_of({"apiVersion": "agentic.io/v1alpha1", "kind": "Gadget", "metadata": {"name": "a"}})
