"""Custom resources as the api sees them, and an API server that has what no watch holds."""

import asyncio
from typing import Any
from uuid import UUID

from agentic_api.identity.principal import Principal
from agentic_core.auth.api_keys import Role
from agentic_core.cluster.errors import ClusterError
from agentic_core.cluster.kinds import Object, Ref
from agentic_crds import KINDS, AgentRevision, Resource
from tests.api.principals import principal as support_principal

SHARED = "http://agent-runtime.acme-default.svc:8080"
VERSION = iter(range(1, 1_000_000))


def meta(name: str, namespace: str | None = None) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, "uid": str(UUID(int=1)), "resourceVersion": str(next(VERSION))} | place


def tenant(name: str, **phases: str) -> dict[str, Any]:
    namespaces = [{"name": f"{name}-{short}", "phase": phase} for short, phase in phases.items()]
    status = {"defaultNamespace": f"{name}-default", "namespaces": namespaces}
    return {"apiVersion": "agentic.io/v1alpha1", "metadata": meta(name), "spec": {}, "status": status}


def agent(namespace: str, name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": meta(name, namespace), "spec": {"model": {"name": "m"}}, "status": status}


def revision(namespace: str, name: str, prompt: str = "p") -> dict[str, Any]:
    definition = {
        "systemPrompt": prompt,
        "wire": "openai",
        "models": [{"provider": "p", "name": "m"}],
        "maxOutputTokens": 1,
        "limits": {},
    }
    return {"metadata": meta(name, namespace), "spec": {"definition": definition}}


def caller(name: str) -> Principal:
    return support_principal(UUID(int=1), name, Role.VIEWER)


class Server:
    """The API server: what it has of revisions and prompts, and how often it was called."""

    def __init__(self) -> None:
        self.objects: dict[tuple[type[Resource], str | None, str], Object] = {}
        self.calls: list[str] = []
        self.failure: ClusterError | None = None

    def put(self, obj: Object, kind: type[Resource] = AgentRevision) -> None:
        self.objects[kind, obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj

    async def get(self, ref: Ref) -> Object | None:
        self.calls.append(f"{ref.namespace}/{ref.name}")
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        return self.objects.get((KINDS[ref.kind.name].model, ref.namespace, ref.name))
