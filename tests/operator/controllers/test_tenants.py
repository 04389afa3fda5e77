"""Tenants on a real API server: namespaces and what is in them, conflicts, quotas, deletion."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from agentic_core import names
from agentic_core.cluster.kinds import (
    EVENT,
    LIMIT_RANGE,
    NAMESPACE,
    NETWORK_POLICY,
    RESOURCE_QUOTA,
    SERVICE_ACCOUNT,
    Object,
)
from agentic_operator.engine import ownership
from tests.operator.harness import AGENT, PROVIDER, TENANT, World, eventually, world
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane


async def policies(w: World) -> set[str]:
    """Names of the NetworkPolicies in the default namespace."""
    return {one["metadata"]["name"] for one in await w.cluster.list(NETWORK_POLICY, w.namespace)}


async def tenant_status(w: World) -> dict[str, Any]:
    """The tenant's status."""
    found = await w.cluster.get(TENANT.ref(w.tenant)) or {}
    status: dict[str, Any] = found.get("status", {})
    return status


@requirement("tenant-namespaces", "operator")
async def test_a_tenant_has_locked_down_namespaces(plane: ControlPlane) -> None:
    async with world(plane) as w:
        namespace = await w.exists(NAMESPACE.ref(w.namespace))
        labels = namespace["metadata"]["labels"]
        assert labels[names.TENANT] == w.tenant
        assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}
        assert await policies(w) == {"default-deny", "allow-dns", "allow-platform"}
        account = await w.get(SERVICE_ACCOUNT, names.RUNTIME)
        assert account
        assert account["automountServiceAccountToken"] is False
        assert await w.get(LIMIT_RANGE, "tenant")
        quota = await w.get(RESOURCE_QUOTA, "tenant")
        assert quota
        assert quota["spec"]["hard"]["count/agents.agentic.io"] == "1k"
        status = await tenant_status(w)
        assert status["defaultNamespace"] == w.namespace
        assert status["namespaces"] == [{"name": w.namespace, "phase": "Active"}]


async def test_edits_reach_the_namespaces(plane: ControlPlane) -> None:
    async with world(plane) as w:
        network = {"egress": [{"cidr": "203.0.113.0/24"}]}
        await w.apply(TENANT, w.tenant, {"namespaces": {"declared": ["default", "lab"]}, "network": network})
        lab = f"{w.tenant}-lab"
        await w.exists(RESOURCE_QUOTA.ref("tenant", lab))
        await w.exists(NETWORK_POLICY.ref("allow-egress", w.namespace))
        await w.condition(TENANT.ref(w.tenant), "Ready", "True")
        assert [one["name"] for one in (await tenant_status(w))["namespaces"]] == [w.namespace, lab]

        await w.apply(TENANT, w.tenant, {})
        await w.gone(NETWORK_POLICY.ref("allow-egress", w.namespace))

        async def leaving() -> bool:
            found = await w.cluster.get(NAMESPACE.ref(lab))
            return bool(found and found["metadata"].get("deletionTimestamp"))

        await eventually(leaving, "the deletion of the namespace that is not declared any more")


async def populated(w: World) -> tuple[str, Object]:
    """A namespace with a provider and an agent that is declared no more, and the agent."""
    lab = f"{w.tenant}-lab"
    await w.apply(TENANT, w.tenant, {"namespaces": {"declared": ["default", "lab"]}})
    await w.exists(RESOURCE_QUOTA.ref("tenant", lab))
    await w.provider(namespace=lab)
    agent = await w.apply(AGENT, "one", {"model": {"name": "m"}}, namespace=lab)
    await w.condition(AGENT.ref("one", lab), "Resolved", "True")
    await w.apply(TENANT, w.tenant, {})
    await w.condition(TENANT.ref(w.tenant), "NamespacesRetained", "True")
    return lab, agent


async def left(w: World, namespace: str) -> None:
    """Waits until the namespace is being deleted."""

    async def leaving() -> bool:
        found = await w.cluster.get(NAMESPACE.ref(namespace))
        return found is None or "deletionTimestamp" in found["metadata"]

    await eventually(leaving, f"the deletion of {namespace}")


async def test_a_namespace_in_use_outlives_its_declaration(plane: ControlPlane) -> None:
    async with world(plane) as w:
        lab, agent = await populated(w)
        ready = await w.condition(TENANT.ref(w.tenant), "Ready", "True")
        assert ready["message"] == "Namespaces in use: 1"
        status = await tenant_status(w)
        assert status["namespaces"] == [{"name": w.namespace, "phase": "Active"}, {"name": lab, "phase": "Retained"}]
        told = next(one["message"] for one in status["conditions"] if one["type"] == "NamespacesRetained")
        assert f"Namespace {lab}" in told
        assert "annotate it with agentic.io/delete=true" in told
        await w.cluster.delete(NETWORK_POLICY.ref("default-deny", lab))
        await w.exists(NETWORK_POLICY.ref("default-deny", lab))
        await w.apply(AGENT, "one", {"model": {"name": "n"}}, namespace=lab)
        resolved = await w.condition(AGENT.ref("one", lab), "Resolved", "True")
        assert resolved["observedGeneration"] == agent["metadata"]["generation"] + 1
        assert "deletionTimestamp" not in (await w.exists(NAMESPACE.ref(lab)))["metadata"]

        await w.cluster.delete(AGENT.ref("one", lab))
        await w.gone(AGENT.ref("one", lab))
        assert "deletionTimestamp" not in (await w.exists(NAMESPACE.ref(lab)))["metadata"]
        await w.cluster.delete(PROVIDER.ref("models", lab))
        await left(w, lab)


@pytest.mark.parametrize("way", ["annotated", "redeclared", "tenant deleted"])
async def test_ways_out_of_retention(plane: ControlPlane, way: str) -> None:
    async with world(plane) as w:
        lab, _ = await populated(w)
        if way == "redeclared":
            await w.apply(TENANT, w.tenant, {"namespaces": {"declared": ["default", "lab"]}})
            await w.condition(TENANT.ref(w.tenant), "Ready", "True")
            status = await tenant_status(w)
            assert [one["phase"] for one in status["namespaces"]] == ["Active", "Active"]
            assert "NamespacesRetained" not in {one["type"] for one in status["conditions"]}
            return
        if way == "annotated":
            allowed = {"metadata": {"annotations": {names.DELETE: "true"}}}
            await w.cluster.patch(NAMESPACE.ref(lab), allowed, "kubectl")
        else:
            await w.cluster.delete(TENANT.ref(w.tenant))
        await left(w, lab)
        assert await w.get(NETWORK_POLICY, "default-deny")


async def test_an_object_elsewhere_that_claims_to_be_the_tenants_delays_nothing(
    plane: ControlPlane, namespace: str
) -> None:
    async with world(plane) as w:
        labels = {names.MANAGED_BY: names.OPERATOR, names.OWNER_KIND: TENANT.name, names.OWNER_NAME: w.tenant}
        ref = SERVICE_ACCOUNT.ref("claims", namespace)
        metadata = {"name": ref.name, "namespace": namespace, "labels": labels, "finalizers": ["test/hold"]}
        await w.cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, "kubectl")
        await w.apply(TENANT, w.tenant, {"displayName": "Edited"})
        await w.condition(TENANT.ref(w.tenant), "Ready", "True")
        await w.cluster.delete(TENANT.ref(w.tenant))
        await left(w, w.namespace)
        await w.finalize_namespaces()
        await w.gone(TENANT.ref(w.tenant))
        assert "deletionTimestamp" not in (await w.exists(ref))["metadata"]
        await w.cluster.patch(ref, {"metadata": {"finalizers": None}}, "kubectl")


async def test_use_of_the_quota_is_summed_up(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.apply(TENANT, w.tenant, {"namespaces": {"declared": ["default", "lab"]}})

        async def counted() -> bool:
            return len(w.counted) == len(("default", "lab"))

        await eventually(counted, "the first reports of both quotas")
        for place, cpu in ((w.namespace, "250m"), (f"{w.tenant}-lab", "1")):
            hard = (await w.exists(RESOURCE_QUOTA.ref("tenant", place)))["spec"]["hard"]
            await w.use(place, hard=hard, used={"requests.cpu": cpu, "pods": "2"})

        async def summed() -> bool:
            quotas = {one["resource"]: one for one in (await tenant_status(w)).get("quotas", [])}
            return bool(quotas.get("requests.cpu", {}).get("used") == "1250m" and quotas["pods"]["used"] == "4")

        await eventually(summed, "the sum of both namespaces")
        quotas = {one["resource"]: one["hard"] for one in (await tenant_status(w))["quotas"]}
        assert quotas == {
            "requests.cpu": "16", "requests.memory": "32Gi", "pods": "200", "count/agents.agentic.io": "2000",
            "count/modelproviders.agentic.io": "2000", "limits.cpu": "200", "limits.memory": "128Gi",
            "limits.ephemeral-storage": "200Gi", "count/configmaps": "4000", "count/secrets": "2000",
            "count/services": "4000", "count/persistentvolumeclaims": "100",
        }  # fmt: skip


async def test_a_quota_that_was_counted_too_early_is_counted_anew(plane: ControlPlane) -> None:
    """On a new cluster Kubernetes may count before it has noticed our kinds, and then not again for five minutes."""
    async with world(plane, recount_age=timedelta(seconds=1)) as w:
        quota = await w.exists(RESOURCE_QUOTA.ref("tenant", w.namespace))

        async def counted() -> bool:
            return quota["metadata"]["uid"] in w.counted

        await eventually(counted, "the first report")
        hard = quota["spec"]["hard"]
        await w.use(w.namespace, hard=hard, used={name: "0" for name in hard if name != "count/agents.agentic.io"})
        w.counting = False
        await w.condition(TENANT.ref(w.tenant), "Ready", "False", "QuotaNotCounted")

        async def anew() -> bool:
            found = await w.get(RESOURCE_QUOTA, "tenant")
            return bool(found and found["metadata"]["uid"] != quota["metadata"]["uid"])

        await eventually(anew, "a quota in place of the old one")
        asyncio.get_running_loop().call_later(1.0, setattr, w, "counting", True)
        await w.condition(TENANT.ref(w.tenant), "Ready", "True")
        assert w.counting, "until then the API server would refuse its agents"
        events = await w.cluster.list(EVENT, "default")
        assert [
            one for one in events if one["involvedObject"]["name"] == w.tenant and one["reason"] == "Restored"
        ] == []


async def test_a_namespace_of_somebody_else_is_not_taken_over(plane: ControlPlane) -> None:
    async with world(plane) as w:
        taken, free = f"{w.tenant}-taken", f"{w.tenant}-free"
        plane.create_namespace(taken, team="theirs")
        await w.apply(TENANT, w.tenant, {"namespaces": {"declared": ["default", "taken", "free"]}})
        found = await w.condition(TENANT.ref(w.tenant), "Ready", "False", "Conflict")
        assert taken in found["message"]
        assert names.ADOPT in found["message"]
        await w.condition(TENANT.ref(w.tenant), "Conflict", "True")
        await w.exists(RESOURCE_QUOTA.ref("tenant", free))
        assert await w.cluster.list(NETWORK_POLICY, taken) == []

        async def others_work() -> bool:
            phases = {one["name"]: one["phase"] for one in (await tenant_status(w))["namespaces"]}
            return phases == {w.namespace: "Active", taken: "Conflict", free: "Active"}

        await eventually(others_work, "the phases of the three namespaces")

        theirs = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": taken, "annotations": {names.ADOPT: "true"}},
        }
        await w.cluster.apply(theirs, "kubectl")
        await w.condition(TENANT.ref(w.tenant), "Ready", "True")
        await w.exists(NETWORK_POLICY.ref("default-deny", taken))


async def test_a_tenant_is_gone_after_its_namespaces(plane: ControlPlane) -> None:
    async with world(plane) as w:
        foreign = f"{w.tenant}-foreign"
        plane.create_namespace(foreign, team="theirs")
        await w.apply(TENANT, w.tenant, {"namespaces": {"declared": ["default", "foreign"]}})
        await w.condition(TENANT.ref(w.tenant), "Ready", "False", "Conflict")
        await w.cluster.delete(TENANT.ref(w.tenant))

        async def leaving() -> Object | None:
            found = await w.exists(NAMESPACE.ref(w.namespace))
            return found if found["metadata"].get("deletionTimestamp") else None

        await eventually(leaving, "the deletion of the namespace")
        assert "default-deny" in await policies(w), "as long as pods may be there, what confines them is too"
        held = await w.exists(TENANT.ref(w.tenant))
        assert held["metadata"]["finalizers"] == [names.FINALIZER]
        await w.finalize_namespaces()
        await w.gone(TENANT.ref(w.tenant))
        assert "deletionTimestamp" not in (await w.exists(NAMESPACE.ref(foreign)))["metadata"]


async def test_what_somebody_takes_away_comes_back(plane: ControlPlane) -> None:
    async with world(plane) as w:
        policy = await w.exists(NETWORK_POLICY.ref("default-deny", w.namespace))
        await w.cluster.delete(NETWORK_POLICY.ref("default-deny", w.namespace))

        async def back() -> bool:
            found = await w.get(NETWORK_POLICY, "default-deny")
            return bool(found and found["metadata"]["uid"] != policy["metadata"]["uid"])

        await eventually(back, "a new default-deny")
        unlabelled = {"metadata": {"labels": {names.TENANT: None, names.OWNER_KIND: None}}}
        await w.cluster.patch(NAMESPACE.ref(w.namespace), unlabelled, "kubectl")

        async def labelled() -> bool:
            found = await w.exists(NAMESPACE.ref(w.namespace))
            return bool(found["metadata"]["labels"].get(names.TENANT) == w.tenant)

        await eventually(labelled, "the namespace's labels")


async def test_what_an_earlier_tenant_of_the_name_has_left_is_not_taken_over(plane: ControlPlane) -> None:
    """As when its finalizers were removed by hand: agents and Secrets in there are another customer's."""
    async with world(plane) as w:
        kept, undeclared = f"{w.tenant}-kept", f"{w.tenant}-undeclared"
        for namespace in (kept, undeclared):
            marks = ownership.labels(TENANT.ref(w.tenant)) | {names.TENANT: w.tenant, names.TENANT_UID: "before"}
            plane.create_namespace(namespace, **marks)
        await w.apply(TENANT, w.tenant, {"namespaces": {"declared": ["default", "kept"]}})
        found = await w.condition(TENANT.ref(w.tenant), "Ready", "False", "Conflict")
        assert f"exists and belongs to Tenant {w.tenant} with the uid before" in found["message"]

        async def apart() -> bool:
            phases = {one["name"]: one["phase"] for one in (await tenant_status(w))["namespaces"]}
            return phases == {w.namespace: "Active", kept: "Conflict", undeclared: "Conflict"}

        await eventually(apart, "the phases of the namespaces")
        for namespace in (kept, undeclared):
            assert await w.cluster.list(NETWORK_POLICY, namespace) == []
            stored = await w.exists(NAMESPACE.ref(namespace))
            assert stored["metadata"]["labels"][names.TENANT_UID] == "before"
            assert "deletionTimestamp" not in stored["metadata"]
