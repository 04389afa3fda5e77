"""What one tenant's pods may use: limits, not only requests, have a sum and a maximum."""

import pytest

from agentic_core.cluster.errors import RequestForbidden
from agentic_core.cluster.kinds import LIMIT_RANGE, Object
from agentic_crds.agent import ResourceAmounts, Resources
from agentic_operator.desired import runtime
from tests.operator.harness import PLATFORM, World, world
from tests.support.apiserver import ControlPlane


async def pod(w: World, **limits: str) -> None:
    """A pod with these limits, which the API server takes or refuses."""
    container: Object = {"name": "c", "image": "c", "resources": {"limits": limits}}
    head = {"name": "greedy", "namespace": w.namespace}
    await w.cluster.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": {"containers": [container]}}, "t"
    )


@pytest.mark.parametrize(("what", "amount"), [("memory", "900Gi"), ("cpu", "64"), ("ephemeral-storage", "1Ti")])
async def test_a_container_has_a_maximum(plane: ControlPlane, what: str, amount: str) -> None:
    async with world(plane) as w:
        await w.exists(LIMIT_RANGE.ref("tenant", w.namespace))
        with pytest.raises(RequestForbidden, match=f"maximum {what} usage per Container"):
            await pod(w, **{what: amount})


def test_a_request_above_the_default_limit_is_its_own_limit() -> None:
    """Else the default of the namespace would be a limit below the request, which the API server refuses."""
    asked = Resources(requests=ResourceAmounts(cpu="4", memory="256Mi"), limits=ResourceAmounts())
    pods = runtime.RuntimePods(name="agent-a", namespace="n", tenant="acme", image="i", resources=asked)
    (container,) = runtime.deployment(pods, PLATFORM)["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "4", "memory": "256Mi"}, "limits": {"cpu": "4"}}
