"""Writes of agents; the endpoints call it. Long prompts are kept in ConfigMaps beside them."""

from collections.abc import Callable

from agentic_api.agents import translate
from agentic_api.agents.schemas import AgentBody, NewAgent
from agentic_api.audit import Audit
from agentic_api.catalog.catalog import Catalog
from agentic_api.identity.principal import Principal
from agentic_api.resources.writer import Draft, ResourceWriter
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import Object
from agentic_crds import Agent

Edit = Callable[[Object], AgentBody]
"""Makes the new definition from the current resource."""


class Agents:
    """The agents of the hub, for writing."""

    def __init__(self, cluster: Cluster | None, catalog: Catalog, audit: Audit) -> None:
        """Without a cluster agents come from Git alone."""
        self._writer = ResourceWriter(Agent, cluster, catalog, audit=audit, beside=translate.prompts)

    async def create(self, caller: Principal, body: NewAgent) -> Object:
        """Create an agent that does not exist yet."""
        agent_id = f"{body.namespace or caller.default_namespace}.{body.label}"
        return await self._writer.create(caller, agent_id, translate.draft(body.label, body))

    async def change(self, caller: Principal, agent_id: str, edit: Edit, *, version: str | None) -> Object:
        """Give an agent a new definition; with `version` only if it is still the one that the caller saw."""

        def draft(current: Object) -> Draft:
            return translate.draft(current["metadata"]["name"], edit(current))

        return await self._writer.change(caller, agent_id, draft, version=version)

    async def delete(self, caller: Principal, agent_id: str) -> None:
        """Delete an agent."""
        await self._writer.delete(caller, agent_id)
