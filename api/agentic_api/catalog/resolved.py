"""What runs for an agent now: its ready revision, parsed once, and where its runtime is. Each run begins with it."""

from dataclasses import dataclass, replace

from cachetools import LRUCache

from agentic_api.catalog.catalog import Catalog, NamespacedName
from agentic_api.catalog.definitions import Definitions, LoadedDefinition, RevisionId
from agentic_api.errors import AgentNotReady
from agentic_api.identity.principal import Principal
from agentic_core import names
from agentic_core.cluster.kinds import Object
from agentic_core.errors import Unavailable
from agentic_crds import Agent
from agentic_crds.agent_revision import Definition

MAX_BYTES = 64 * 1024 * 1024
"""Memory of the agents that are kept ready to run."""


@dataclass(frozen=True)
class ResolvedAgent:
    """An agent with the revision that new runs use and where it runs."""

    namespace: str
    agent: str
    """Name of the Agent, without the namespace."""
    revision: str
    """Name of the AgentRevision."""
    definition: Definition
    """The revision's definition, parsed once and shared by all runs of it."""
    endpoint: str
    """Base URL of the runtime inside the cluster, without a slash at the end."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """The cached result for an Agent, and the version of the Agent that it is for; -1 while the revision of that
    version cannot be loaded, so that the next run tries again."""

    revision: RevisionId
    version: int
    loaded: LoadedDefinition
    agent: ResolvedAgent


class ResolvedAgents:
    """The agents of the catalog, as far as they can run.

    Invariant: between the last look at the Agent and its result there is no await, so that nothing runs that was
    deleted, or moved to another tenant, while its definition was loaded.
    """

    def __init__(self, catalog: Catalog, definitions: Definitions, *, anywhere: bool = False) -> None:
        """With `anywhere`, an Agent's status may name an endpoint outside of the runtimes of its namespace."""
        self._catalog = catalog
        self._definitions = definitions
        self._anywhere = anywhere
        self._agents = catalog.stores[Agent]
        self._resolved: LRUCache[NamespacedName, _Entry] = LRUCache(MAX_BYTES, getsizeof=lambda one: one.loaded.size)

    async def get(self, principal: Principal, agent_id: str) -> ResolvedAgent:
        """What runs for an agent of the caller's tenant now; it waits only for a definition that is not in memory.
        Raises NotFound, AgentNotReady with the reason, or Unavailable."""
        key = self._catalog.locate(Agent, principal, agent_id)
        version = self._agents.version(key.namespace, key.name)
        entry = self._resolved.get(key)
        if entry is not None and entry.version == version and key.namespace in self._catalog.own_namespaces(principal):
            return entry.agent
        entry = await self._load(principal, agent_id, key)
        if entry.loaded.size <= MAX_BYTES:
            self._resolved[key] = entry
        return entry.agent

    async def _load(self, principal: Principal, agent_id: str, key: NamespacedName) -> _Entry:
        """What runs now; while its new revision cannot be loaded, what ran before, if that is of the same Agent."""
        before = self._resolved.pop(key, None)
        loaded = (before.revision, before.loaded) if before else None
        behind = False
        while True:
            agent = self._catalog.find(Agent, principal, agent_id)
            revision, endpoint = self._serving(key, agent)
            if behind and before and before.revision.agent_uid == revision.agent_uid:
                return replace(before, version=-1)
            if loaded and loaded[0] == revision:
                version = int(agent["metadata"].get("resourceVersion") or 0)
                return _Entry(revision, version, loaded[1], _resolved(revision, loaded[1], endpoint))
            try:
                loaded = (revision, await self._definitions.load(revision))
            except (AgentNotReady, Unavailable):
                if behind or not before:
                    raise
                behind = True

    def _serving(self, key: NamespacedName, agent: Object) -> tuple[RevisionId, str]:
        """The revision that the Agent's status says serves, and where."""
        status = agent.get("status", {})
        revision, endpoint = status.get("readyRevision"), status.get("endpoint")
        if not revision or not endpoint:
            raise not_ready(key, agent)
        endpoint = endpoint.rstrip("/")
        if not self._anywhere and endpoint not in runtimes(key):
            raise AgentNotReady(
                f"Agent {key} is not ready: its status leads to {endpoint[:120]}, which is no runtime of its namespace;"
                " the operator writes the status again when the Agent changes.",
                reason="ForeignEndpoint",
            )
        return RevisionId(key.namespace, key.name, agent["metadata"]["uid"], revision), endpoint


def _resolved(revision: RevisionId, loaded: LoadedDefinition, endpoint: str) -> ResolvedAgent:
    return ResolvedAgent(revision.namespace, revision.agent, revision.revision, loaded.definition, endpoint)


def runtimes(key: NamespacedName) -> tuple[str, str]:
    """Where an agent can run. Whoever may write its status must not choose who gets conversations and run tokens."""
    own = names.dedicated_name(key.name)
    return names.runtime_url(names.RUNTIME, key.namespace), names.runtime_url(own, key.namespace)


def not_ready(key: NamespacedName, agent: Object) -> AgentNotReady:
    """Why an agent cannot run, in the operator's words."""
    conditions = agent.get("status", {}).get("conditions", [])
    ready: Object = next((item for item in conditions if item["type"] == names.READY), {})
    message = ready.get("message") or "the operator has not resolved it yet; try again in a moment"
    return AgentNotReady(f"Agent {key} is not ready: {message}", reason=ready.get("reason", "Pending"))
