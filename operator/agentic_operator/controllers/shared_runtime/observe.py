"""All reads of the shared runtime's controller; `handlers` calls it."""

from dataclasses import dataclass

from agentic_core.cluster.kinds import Object
from agentic_crds import Tenant
from agentic_operator.controllers import tenancy
from agentic_operator.controllers.agents import AGENT, BY_SHARED_RUNTIME
from agentic_operator.engine.controller import Context


@dataclass(frozen=True)
class Place:
    """A namespace."""

    name: str
    leaving: bool

    @classmethod
    def parse(cls, obj: Object) -> "Place":
        """What matters of a Namespace object."""
        metadata = obj["metadata"]
        return cls(metadata["name"], bool(metadata.get("deletionTimestamp")))


@dataclass(frozen=True)
class Observed:
    """Whose the namespace is, and whether an agent in it runs in the shared runtime."""

    tenant: str | None
    needed: bool


async def observe(place: Place, ctx: Context, tenants: tenancy.Parsed[Tenant]) -> Observed:
    """The namespace's tenant and its need."""
    tenant = tenancy.tenant_of(place.name, ctx.index, tenants)
    needed = ctx.index.any(AGENT, BY_SHARED_RUNTIME, place.name)
    return Observed(tenant.metadata.name if tenant else None, needed)
