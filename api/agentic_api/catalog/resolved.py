"""What runs for an agent now: its ready revision, parsed once, and where its runtime is. Each run begins with it."""

from dataclasses import dataclass

from cachetools import LRUCache
from pydantic import ValidationError

from agentic_api.catalog.catalog import Catalog, NamespacedName
from agentic_api.errors import AgentNotReady
from agentic_api.identity.principal import Principal
from agentic_core import names
from agentic_core.cluster.kinds import Object
from agentic_core.contract import read_definition
from agentic_crds import Agent, AgentRevision
from agentic_crds.agent_revision import Definition

MAX_RESOLVED = 4096
"""How many agents are kept ready to run."""


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
    """What runs, and at which version of which Agent that was so: at none while its revision has not arrived."""

    uid: str
    version: int
    agent: ResolvedAgent


class ResolvedAgents:
    """The agents of the catalog, as far as they can run."""

    def __init__(self, catalog: Catalog, *, anywhere: bool = False) -> None:
        """`anywhere` believes a status that says that an agent runs elsewhere than in the runtimes of its namespace."""
        self._catalog = catalog
        self._anywhere = anywhere
        self._agents, self._revisions = catalog.stores[Agent], catalog.stores[AgentRevision]
        self._resolved: LRUCache[NamespacedName, _Entry] = LRUCache(MAX_RESOLVED)

    def get(self, principal: Principal, agent_id: str) -> ResolvedAgent:
        """What runs for an agent of the caller's tenant now; NotFound, or AgentNotReady with the reason."""
        key = self._catalog.locate(Agent, principal, agent_id)
        version = self._agents.version(key.namespace, key.name)
        entry = self._resolved.get(key)
        if (
            entry is not None
            and entry.version == version
            and key.namespace in self._catalog.namespaces(principal.tenant).all
        ):
            return entry.agent
        self._resolved.pop(key, None)
        agent = self._catalog.find(Agent, principal, agent_id)
        same = entry is not None and entry.uid == agent["metadata"]["uid"]  # else it was deleted and made again
        entry = self._resolve(key, agent, entry.agent if entry and same else None)
        self._resolved[key] = entry
        return entry.agent

    def _resolve(self, key: NamespacedName, agent: Object, before: ResolvedAgent | None) -> _Entry:
        """What runs; what ran before while the watch of revisions is behind that of agents."""
        status, uid = agent.get("status", {}), agent["metadata"]["uid"]
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
        if before is not None and before.revision == revision:
            definition = before.definition
        else:
            found = self._revisions.get(key.namespace, revision)
            if found is None and before is not None:
                return _Entry(uid, -1, before)
            if found is None:
                raise not_ready(key, agent)
            definition = _definition(key, revision, found)
        version = int(agent["metadata"].get("resourceVersion") or 0)
        return _Entry(uid, version, ResolvedAgent(key.namespace, key.name, revision, definition, endpoint))


def _definition(key: NamespacedName, revision: str, resource: Object) -> Definition:
    """The definition of a revision, which another version of the operator may have written."""
    try:
        return read_definition(resource.get("spec", {}).get("definition"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, ("spec.definition", *first["loc"])))
        raise AgentNotReady(
            f"Agent {key} is not ready: its revision {revision} cannot be read by this version of the api"
            f" ({where}: {first['msg']}). Upgrade the api, or change the Agent so that a new revision is written.",
            reason="RevisionUnreadable",
        ) from None


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
