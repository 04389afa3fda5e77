"""Definitions of revisions, got from the API server when a run needs one. `resolved` calls it and caches them.

Revisions and prompts are many and large and few of them run, so no watch holds them.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import LRUCache
from pydantic import ValidationError

from agentic_api.errors import AgentNotReady
from agentic_core import bounded_json, revisions, telemetry
from agentic_core.cluster.errors import ClusterError
from agentic_core.cluster.kinds import Object, Ref, custom
from agentic_core.errors import Unavailable
from agentic_core.single_flight import SingleFlight
from agentic_crds import AgentRevision, PromptVersion
from agentic_crds.agent_revision import Definition
from agentic_crds.prompt_version import name_of

GetObject = Callable[[Ref], Awaitable[Object | None]]
"""Gets an object from the API server: None when it does not exist, raises ClusterError when that cannot be said."""

LOAD_SECONDS = 5.0
"""How long a run waits for its definition."""
MAX_LOADS = 8
"""How many definitions are loaded at once: each is a few times its size meanwhile."""
PROMPT_BYTES = 16 * 1024 * 1024
"""Memory of prompts that definitions may share."""
MODEL_BYTES = 4096
"""What the smallest definition takes."""

log = telemetry.logger(__name__)


@dataclass(frozen=True, slots=True)
class RevisionId:
    """A revision of an agent. Its name has the hash of its content; the uid tells agents of one name apart."""

    namespace: str
    agent: str
    agent_uid: str
    revision: str


@dataclass(frozen=True, slots=True)
class LoadedDefinition:
    """A definition and its size in memory, roughly and rather too much."""

    definition: Definition
    size: int


class Definitions:
    """The definitions of the cluster. Revisions that are loaded at the same time and have one prompt share its text."""

    def __init__(self, get: GetObject) -> None:
        self._get = get
        self._loads: SingleFlight[RevisionId, LoadedDefinition] = SingleFlight()
        self._prompts: SingleFlight[tuple[str, str], str] = SingleFlight(
            LRUCache(PROMPT_BYTES, getsizeof=sys.getsizeof)
        )
        self._slots = asyncio.Semaphore(MAX_LOADS)

    async def load(self, revision: RevisionId) -> LoadedDefinition:
        """The definition. Raises AgentNotReady when there is none to run, Unavailable when that cannot be said now."""
        return await self._loads.get(revision, lambda: self._bounded(revision))

    async def _bounded(self, revision: RevisionId) -> LoadedDefinition:
        try:
            async with asyncio.timeout(LOAD_SECONDS), self._slots:
                return await self._load(revision)
        except (ClusterError, TimeoutError) as failure:
            reason = failure.message if isinstance(failure, ClusterError) else "no response in time"
            log.warning("definition not loaded", namespace=revision.namespace, revision=revision.revision, error=reason)
            raise Unavailable(
                f"The definition of agent {_agent(revision)} cannot be loaded, because the Kubernetes API does not"
                " respond as it should. The run was not begun; try again in a moment."
            ) from failure

    async def _load(self, revision: RevisionId) -> LoadedDefinition:
        found = await self._get(custom(AgentRevision).ref(revision.revision, revision.namespace))
        if found is None:
            raise _not_ready(
                revision, "does not exist any more; wait for the operator to resolve it", "RevisionNotFound"
            )
        spec = found.get("spec") or {}
        sha256 = spec.get("promptSha256")
        prompt = await self._prompt(revision, sha256) if sha256 else None
        try:
            definition = revisions.read(spec, prompt)
        except ValidationError as error:
            raise _unreadable(revision, error) from None
        return LoadedDefinition(definition, _size(definition))

    async def _prompt(self, revision: RevisionId, sha256: str) -> str:
        key = (revision.namespace, sha256)
        return await self._prompts.get(key, lambda: self._load_prompt(revision, sha256))

    async def _load_prompt(self, revision: RevisionId, sha256: str) -> str:
        found = await self._get(custom(PromptVersion).ref(name_of(sha256), revision.namespace))
        if found is None:
            raise _not_ready(
                revision, f"refers to PromptVersion {name_of(sha256)}, which was not found", "PromptNotFound"
            )
        text = str((found.get("spec") or {}).get("text", ""))
        if revisions.prompt_sha256(text) != sha256:
            log.error("prompt has another hash than its name", namespace=revision.namespace, name=name_of(sha256))
            raise _not_ready(
                revision, f"refers to PromptVersion {name_of(sha256)}, whose text has another hash", "PromptCorrupt"
            )
        return text


def _size(definition: Definition) -> int:
    rest = definition.model_dump_json(exclude={"system_prompt"}).encode()
    values = bounded_json.count(rest) * bounded_json.VALUE_BYTES
    return MODEL_BYTES + len(rest) + values + sys.getsizeof(definition.system_prompt)


def _agent(revision: RevisionId) -> str:
    return f"{revision.namespace}.{revision.agent}"


def _not_ready(revision: RevisionId, what: str, reason: str) -> AgentNotReady:
    return AgentNotReady(
        f"Agent {_agent(revision)} is not ready: its revision {revision.revision} {what}."
        " Change the Agent if that lasts, so that a new revision is written.",
        reason=reason,
    )


def _unreadable(revision: RevisionId, error: ValidationError) -> AgentNotReady:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, ("spec.definition", *first["loc"])))
    return AgentNotReady(
        f"Agent {_agent(revision)} is not ready: its revision {revision.revision} cannot be read by this version of the"
        f" api ({where}: {first['msg']}). Upgrade the api, or change the Agent so that a new revision is written.",
        reason="RevisionUnreadable",
    )
