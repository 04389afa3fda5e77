"""The shared runtime scales where the cluster has metrics, on a real API server that gets and loses their API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentic_core import names
from agentic_core.cluster.kinds import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, Object
from tests.operator.harness import TENANT, World, eventually, world
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane

APIS = "/apis/apiregistration.k8s.io/v1/apiservices"


@contextmanager
def metrics_api(plane: ControlPlane) -> Iterator[None]:
    """The API of a metrics server, which is registered but does not respond."""
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": "metrics-server", "namespace": "kube-system"},
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
    }
    name = "v1beta1.metrics.k8s.io"
    head = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}}
    plane.request("POST", APIS, head | {"spec": spec})
    try:
        yield
    finally:
        plane.request("DELETE", f"{APIS}/{name}")


def operator_fields(obj: Object) -> dict[str, Any]:
    """The fields of the spec that the operator owns."""
    entries = obj["metadata"]["managedFields"]
    (own,) = [entry["fieldsV1"] for entry in entries if entry["manager"] == names.OPERATOR_MANAGER]
    found: dict[str, Any] = own["f:spec"]
    return found


async def scale(w: World, replicas: int) -> None:
    """What the autoscaler's controller would do."""
    change = {"spec": {"replicas": replicas}}
    await w.cluster.patch(DEPLOYMENT.ref(names.RUNTIME, w.namespace), change, "kube-controller-manager")


async def scaled_back(w: World) -> None:
    """Waits until the operator has set one pod."""

    async def one_pod() -> bool:
        pods = await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace))
        return pods["spec"]["replicas"] == 1 and "f:replicas" in operator_fields(pods)

    await eventually(one_pod, "one pod")


async def test_without_metrics_the_shared_runtime_has_one_pod(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.agent("one")
        pods = await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace))
        assert pods["spec"]["replicas"] == 1
        assert "f:replicas" not in operator_fields(pods)
        assert await w.get(AUTOSCALER, names.RUNTIME) is None
        assert await w.get(DISRUPTION_BUDGET, names.RUNTIME) is None
        await scale(w, 3)
        await scaled_back(w)


@requirement("hpa")
async def test_the_shared_runtime_scales_when_metrics_come_and_stops_when_they_go(plane: ControlPlane) -> None:
    async with world(plane) as w:
        await w.agent("one")
        await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace))
        with metrics_api(plane):
            autoscaler = await w.exists(AUTOSCALER.ref(names.RUNTIME, w.namespace))
            assert autoscaler["spec"]["maxReplicas"] == 10
            assert autoscaler["spec"]["scaleTargetRef"]["name"] == names.RUNTIME
            budget = await w.exists(DISRUPTION_BUDGET.ref(names.RUNTIME, w.namespace))
            assert budget["spec"]["maxUnavailable"] == 1
            assert "f:replicas" not in operator_fields(await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace)))
            await scale(w, 4)

            await w.apply(TENANT, w.tenant, {"quotas": {"maxRuntimePods": 5}})

            async def bounded() -> bool:
                found = await w.exists(AUTOSCALER.ref(names.RUNTIME, w.namespace))
                return bool(found["spec"]["maxReplicas"] == 5)

            await eventually(bounded, "the tenant's bound")
            assert (await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace)))["spec"]["replicas"] == 4
        await w.gone(AUTOSCALER.ref(names.RUNTIME, w.namespace))
        await w.gone(DISRUPTION_BUDGET.ref(names.RUNTIME, w.namespace))
        await scaled_back(w)


async def test_a_tenant_with_one_runtime_pod_needs_no_autoscaler(plane: ControlPlane) -> None:
    with metrics_api(plane):
        async with world(plane) as w:
            await w.agent("one")
            await w.exists(AUTOSCALER.ref(names.RUNTIME, w.namespace))
            await w.apply(TENANT, w.tenant, {"quotas": {"maxRuntimePods": 1}})
            await w.gone(AUTOSCALER.ref(names.RUNTIME, w.namespace))
            assert (await w.exists(DEPLOYMENT.ref(names.RUNTIME, w.namespace)))["spec"]["replicas"] == 1
