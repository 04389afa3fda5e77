"""Writes of agents through the API server, by server-side apply; the endpoints call it.

What other field managers own stays theirs: a change of such a field is a conflict, never an overwrite.
"""

import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from agentic_api.agents import translate
from agentic_api.agents.schemas import AgentBody, NewAgent
from agentic_api.audit import Audit
from agentic_api.catalog.catalog import Catalog, Key, unknown
from agentic_api.errors import AlreadyExists, GitOpsOnly, PreconditionFailed
from agentic_api.identity.principal import Principal
from agentic_core import names
from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import CONFIG_MAP, Object, custom
from agentic_core.errors import Conflict, Forbidden, Invalid, NotFound, PlatformError, Unavailable
from agentic_crds import Agent
from agentic_crds.base import ConfigMapKeyRef

AGENT = custom(Agent)
Edit = Callable[[Object], AgentBody]
"""Makes the new definition from the current resource."""
ATTEMPTS = 5
FIELD_CONFLICT = "Apply failed with"
"""How the API server begins its complaint about fields of other managers."""
INLINE_PROMPT = 8192
"""Most characters of a prompt inside the resource; longer ones go into a ConfigMap."""


@dataclass(frozen=True)
class Agents:
    """The agents of the hub, for writing."""

    cluster: Cluster | None
    """The API server; None when agents come from Git or from a folder alone."""
    catalog: Catalog
    audit: Audit

    async def create(self, caller: Principal, body: NewAgent) -> Object:
        """Create an agent that does not exist yet."""
        cluster = self._writable()
        key = self.catalog.locate(Agent, caller, f"{body.namespace or caller.default_namespace}.{body.label}")
        prompt = _long_prompt(key, body)
        wanted = translate.manifest(key, translate.spec(body, prompt))
        async with self.audit.intended(caller, "agent.create", target=str(key)) as done:
            with _explained(key):
                created = await cluster.create(wanted, names.API_MANAGER)
                created = await self._as_applied(cluster, created)
                if prompt:
                    await cluster.apply(_config_map(prompt, body, created), names.API_MANAGER)
            done["generation"] = _generation(created)
        self.catalog.stores[Agent].put(created)
        return created

    async def change(self, caller: Principal, agent_id: str, edit: Edit, *, version: str | None) -> Object:
        """Give an agent a new definition; with `version` only if it is still the one that the caller saw."""
        cluster = self._writable()
        key = _key(self.catalog.find(Agent, caller, agent_id))
        async with self.audit.intended(caller, "agent.update", target=str(key)) as done:
            changed = await self._change(cluster, key, edit, version=version)
            done["generation"] = _generation(changed)
        self.catalog.stores[Agent].put(changed)
        return changed

    async def _change(self, cluster: Cluster, key: Key, edit: Edit, *, version: str | None) -> Object:
        for attempt in range(ATTEMPTS):
            current = await self._current(cluster, key, version=version)
            try:
                return await self._replace(cluster, current, edit(current))
            except errors.Conflict as error:
                if attempt + 1 < ATTEMPTS and FIELD_CONFLICT not in error.message:
                    continue  # somebody wrote between our reading and our writing
                raise _meaning(key, error) from error
            except errors.ClusterError as error:
                raise _meaning(key, error) from error
        raise AssertionError("the last attempt returns or raises")

    async def _current(self, cluster: Cluster, key: Key, *, version: str | None) -> Object:
        with _explained(key):
            current = await cluster.get(AGENT.ref(key.name, key.namespace))
            if current is None:
                raise unknown(Agent, str(key))
            if any(_by_create(entry) for entry in current["metadata"]["managedFields"]):
                current = await self._as_applied(cluster, current)  # a create that was cut off in the middle
        generation = str(current["metadata"]["generation"])
        if version is not None and version != generation:
            raise PreconditionFailed(
                f"Agent {key} has changed since: it has version {generation} now, you sent {version}."
            )
        return current

    async def _replace(self, cluster: Cluster, current: Object, body: AgentBody) -> Object:
        key, meta = _key(current), current["metadata"]
        prompt = _long_prompt(key, body)
        if prompt:
            await cluster.apply(_config_map(prompt, body, current), names.API_MANAGER)
        wanted = translate.manifest(
            key, translate.spec(body, prompt), uid=meta["uid"], resourceVersion=meta["resourceVersion"]
        )
        changed = await cluster.apply(wanted, names.API_MANAGER, force=False)
        await self._prune_prompt(cluster, current, prompt)
        return changed

    async def delete(self, caller: Principal, agent_id: str) -> None:
        """Delete an agent."""
        cluster = self._writable()
        current = self.catalog.find(Agent, caller, agent_id)
        key = _key(current)
        async with self.audit.intended(caller, "agent.delete", target=str(key)):
            with _explained(key):
                if not await cluster.delete(AGENT.ref(key.name, key.namespace), uid=current["metadata"]["uid"]):
                    raise unknown(Agent, agent_id)
        self.catalog.stores[Agent].remove_ahead(key.namespace, key.name)

    def _writable(self) -> Cluster:
        if self.cluster is None:
            raise GitOpsOnly(
                "This platform takes agents from its manifests only: change the Agent resource in Git (or with kubectl)"
                " instead. An operator of the platform can allow writes with the setting AGENTIC_GITOPS_ONLY=false."
            )
        return self.cluster

    async def _as_applied(self, cluster: Cluster, created: Object) -> Object:
        """Turn our ownership of the fields from create's into apply's, so that later applies can also remove them."""
        entries = [
            entry | {"operation": "Apply"} if _by_create(entry) else entry
            for entry in created["metadata"]["managedFields"]
        ]
        meta = {"managedFields": entries, "uid": created["metadata"]["uid"]}
        return await cluster.patch(AGENT.ref(*_name(created)), {"metadata": meta}, names.API_MANAGER)

    async def _prune_prompt(self, cluster: Cluster, before: Object, kept: ConfigMapKeyRef | None) -> None:
        """Delete the ConfigMap that we made for the prompt of before."""
        used = before["spec"].get("systemPromptFrom", {}).get("name", "")
        if used.startswith(f"{before['metadata']['name']}-prompt-") and (kept is None or used != kept.name):
            await cluster.delete(CONFIG_MAP.ref(used, before["metadata"]["namespace"]))


def _by_create(entry: Object) -> bool:
    return entry["manager"] == names.API_MANAGER and entry["operation"] == "Update" and "subresource" not in entry


def _key(agent: Object) -> Key:
    return Key(agent["metadata"]["namespace"], agent["metadata"]["name"])


def _generation(agent: Object) -> int:
    generation: int = agent["metadata"].get("generation", 0)
    return generation


def _name(agent: Object) -> tuple[str, str]:
    return agent["metadata"]["name"], agent["metadata"]["namespace"]


def _long_prompt(key: Key, body: AgentBody) -> ConfigMapKeyRef | None:
    if body.system_prompt is None or len(body.system_prompt) <= INLINE_PROMPT:
        return None
    digest = hashlib.sha256(body.system_prompt.encode()).hexdigest()[:10]
    return ConfigMapKeyRef(name=f"{key.name}-prompt-{digest}")


def _config_map(prompt: ConfigMapKeyRef, body: AgentBody, owner: Object) -> Object:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": prompt.name, "namespace": meta["namespace"], "ownerReferences": [reference]},
        "data": {prompt.key: body.system_prompt},
    }


@contextmanager
def _explained(key: Key) -> Generator[None]:
    try:
        yield
    except errors.ClusterError as error:
        raise _meaning(key, error) from error


def _meaning(key: Key, error: errors.ClusterError) -> PlatformError:
    """What an answer of the API server means for the client."""
    said = error.message.partition(": ")[2] or error.message
    match error:
        case errors.Invalid():
            return Invalid(f"The agent is not accepted: {said}")
        case errors.Conflict() if error.reason == "AlreadyExists":
            return AlreadyExists(f"Agent {key} exists already; change it with PUT /api/v1/agents/{key}.")
        case errors.Conflict():
            return Conflict(f"Agent {key} was not changed: {said}")
        case errors.NotFound():
            return NotFound(f"Agent {key}, or its namespace, does not exist any more.")
        case errors.Forbidden():
            return Forbidden(f"The cluster does not allow this: {said}")
        case _:
            return Unavailable(f"The cluster does not answer now; try again. Agent {key} may not have been changed.")
