"""Which agents a caller sees and what runs for them, answered from memory. Endpoints and runs ask it.

It never calls the API server. A name of another tenant's namespace is as unknown as one that does not exist.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from agentic_api.catalog.resolved import ResolvedAgent
from agentic_api.catalog.store import Store
from agentic_api.errors import AgentNotReady
from agentic_api.identity.principal import Principal
from agentic_core import names
from agentic_core.cluster.kinds import Object
from agentic_core.errors import NotFound
from agentic_crds import Tenant
from agentic_crds.agent_revision import Definition

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
RESOLVED = 4096
"""How many agents are kept ready to run."""


@dataclass(frozen=True, order=True)
class AgentKey:
    """Where an agent is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True)
class TenantView:
    """What requests need to know of a tenant."""

    default_namespace: str
    """The namespace that names without a namespace refer to."""
    namespaces: frozenset[str]
    """Namespaces that are the tenant's, as the operator found them: one that it claims but another holds is not."""


@dataclass(frozen=True)
class _Resolved:
    """What runs, and whether that is what the agent's status says now."""

    agent: ResolvedAgent
    current: bool


class Catalog:
    """Tenants, Agents and AgentRevisions of the hub."""

    def __init__(self, on_tenant: Callable[[str], None] = lambda _name: None, *, anywhere: bool = False) -> None:
        """`on_tenant` is told the name of each Tenant that changed.

        `anywhere` believes a status that says that an agent runs elsewhere than in the runtimes of its namespace.
        """
        self._anywhere = anywhere
        self.tenants = Store(on_tenant)
        self.agents = Store()
        self.revisions = Store()
        self._views: dict[str, tuple[int | None, TenantView]] = {}
        self._resolved: OrderedDict[AgentKey, tuple[int | None, ResolvedAgent]] = OrderedDict()

    def tenant(self, name: str) -> TenantView:
        """What matters of a tenant; the view of an unknown one has no namespace."""
        version = self.tenants.version("", name)
        cached = self._views.get(name)
        if cached is None or cached[0] != version:
            found = self.tenants.get("", name)
            cached = self._views[name] = (version, view(found) if found else TenantView(f"{name}-default", frozenset()))
        return cached[1]

    def tenant_id(self, name: str) -> UUID:
        """The uid of the Tenant of this name."""
        found = self.tenants.get("", name)
        if found is None:
            raise NotFound(f"There is no tenant {name!r}. Create the Tenant resource first: kubectl get tenants.")
        return UUID(found["metadata"]["uid"])

    def namespaces(self, tenant: str) -> frozenset[str]:
        """The namespaces that belong to a tenant."""
        return self.tenant(tenant).namespaces

    def locate(self, principal: Principal, agent_id: str) -> AgentKey:
        """Where the agent of this id would be: `name`, or `namespace.name` in a namespace of the caller's tenant."""
        namespace, dot, name = agent_id.rpartition(".")
        key = AgentKey(namespace if dot else principal.default_namespace, name)
        known = LABEL.fullmatch(key.name) and (not dot or key.namespace in self.namespaces(principal.tenant))
        if not known:
            raise unknown(agent_id)
        return key

    def find(self, principal: Principal, agent_id: str) -> Object:
        """The Agent of this id."""
        key = self.locate(principal, agent_id)
        if key.namespace in self.namespaces(principal.tenant):
            found = self.agents.get(key.namespace, key.name)
            if found is not None:
                return found
        raise unknown(agent_id)

    def page(self, principal: Principal, *, limit: int, after: str | None) -> tuple[list[Object], str | None]:
        """Agents of the caller's tenant by namespace and name, and where the next page starts."""
        found: list[Object] = []
        last = ""
        for key in self._keys(principal, after):
            if len(found) == limit:
                return found, last
            item = self.agents.get(key.namespace, key.name)
            if item is not None:
                found.append(item)
                last = str(key)
        return found, None

    def _keys(self, principal: Principal, after: str | None) -> Iterator[AgentKey]:
        start_namespace, _, start_name = (after or "").partition(".")
        for namespace in sorted(self.namespaces(principal.tenant)):
            if namespace < start_namespace:
                continue
            inside = start_name if namespace == start_namespace else None
            for name in self.agents.names(namespace, after=inside):
                yield AgentKey(namespace, name)

    def agent(self, principal: Principal, agent_id: str) -> ResolvedAgent:
        """What runs for an agent now."""
        key = self.locate(principal, agent_id)
        version = self.agents.version(key.namespace, key.name)
        ready = self._resolved.get(key)
        if ready is not None and ready[0] == version and key.namespace in self.namespaces(principal.tenant):
            return ready[1]
        self._resolved.pop(key, None)
        resolved = self._resolve(key, self.find(principal, agent_id), ready[1] if ready else None)
        self._resolved[key] = (version if resolved.current else None, resolved.agent)
        if len(self._resolved) > RESOLVED:
            self._resolved.popitem(last=False)
        return resolved.agent

    def _resolve(self, key: AgentKey, agent: Object, before: ResolvedAgent | None) -> _Resolved:
        """What runs; what ran before while the watch of revisions is behind that of agents."""
        status = agent.get("status", {})
        revision, endpoint = status.get("readyRevision"), status.get("endpoint")
        if not revision or not endpoint:
            raise not_ready(key, agent)
        endpoint = endpoint.rstrip("/")
        if not self._anywhere and endpoint not in runtimes(key):
            raise AgentNotReady(
                f"Agent {key} is not ready: its status leads to {endpoint[:120]}, which is no runtime of its namespace;"
                " the operator writes the status anew when the Agent changes.",
                reason="ForeignEndpoint",
            )
        if before is not None and before.revision == revision:
            definition = before.definition
        else:
            found = self.revisions.get(key.namespace, revision)
            if found is None and before is not None:
                return _Resolved(before, current=False)
            if found is None:
                raise not_ready(key, agent)
            definition = Definition.model_validate(found["spec"]["definition"])
        return _Resolved(ResolvedAgent(key.namespace, key.name, revision, definition, endpoint), current=True)


def runtimes(key: AgentKey) -> tuple[str, str]:
    """Where an agent can run. Whoever may write its status must not choose who gets conversations and run tokens."""
    own = names.dedicated_name(key.name)
    return names.runtime_url(names.RUNTIME, key.namespace), names.runtime_url(own, key.namespace)


def view(tenant: Object) -> TenantView:
    """What requests need to know of a Tenant."""
    status = tenant.get("status", {})
    reported = status.get("namespaces", [])
    held = frozenset(item["name"] for item in reported if item["phase"] != "Conflict")
    default = status.get("defaultNamespace") or Tenant.model_validate(tenant).namespace_names[0]
    return TenantView(default, held)


def unknown(agent_id: str) -> NotFound:
    """The one answer for agents that do not exist and for those of others."""
    return NotFound(f"There is no agent {agent_id[:120]!r}. List yours with GET /api/v1/agents.")


def not_ready(key: AgentKey, agent: Object) -> AgentNotReady:
    """Why an agent cannot run, in the operator's words."""
    conditions = agent.get("status", {}).get("conditions", [])
    ready: Object = next((item for item in conditions if item["type"] == names.READY), {})
    message = ready.get("message") or "the operator has not resolved it yet; try again in a moment"
    return AgentNotReady(f"Agent {key} is not ready: {message}", reason=ready.get("reason", "Pending"))
