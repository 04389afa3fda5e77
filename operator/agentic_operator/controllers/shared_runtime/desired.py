"""The runtime that the Shared agents of a namespace have in common; pure."""

from agentic_core import names
from agentic_operator.controllers.shared_runtime.observe import Observed, Place
from agentic_operator.desired import runtime
from agentic_operator.desired.platform import Platform
from agentic_operator.engine.controller import Wanted


def desired(place: Place, observed: Observed, platform: Platform) -> Wanted:
    """A Deployment and a Service from the first Shared agent to the last one."""
    if place.leaving or not observed.tenant or not observed.needed:
        return Wanted()
    shared = runtime.Runtime(
        name=names.RUNTIME, namespace=place.name, tenant=observed.tenant, image=platform.runtime_image
    )
    return Wanted([runtime.deployment(shared, platform), runtime.service(shared)])
