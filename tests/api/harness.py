"""The api as a process would run it, inside the test: real PostgreSQL, real API server, its own server and port."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client import CollectorRegistry

from agentic_api import composition
from agentic_api.app import create_app
from agentic_api.context import Context
from agentic_api.install.installer import install
from agentic_api.install.secrets import FolderStore
from agentic_api.settings import ApiSettings
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import custom
from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.server import server
from agentic_crds import Agent, AgentRevision, Tenant
from tests.support.apiserver import ControlPlane
from tests.support.ports import free_port
from tests.support.postgres import PostgresDatabase
from tests.support.serving import serving
from tests.support.waiting import until

MANAGER = "tests-operator"


@dataclass(frozen=True)
class Api:
    """A running api."""

    url: str
    admin_key: str = field(repr=False)
    context: Context
    metrics: str
    """Where Prometheus reads."""

    def client(self, key: str | None = None) -> httpx2.AsyncClient:
        """A client with a key; the admin's without one, anonymous with an empty one."""
        key = self.admin_key if key is None else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    async def key(self, tenant: str, role: str = "owner", **fields: Any) -> str:
        """A new key of a tenant, as soon as the tenant is known here."""

        async def made() -> str | None:
            async with self.client() as client:
                body = {"name": "test", "role": role, "tenant": tenant} | fields
                answer = await client.post("/api/v1/keys", json=body)
            return answer.json()["key"] if answer.status_code == 201 else None

        return await until(made, what=f"a key of {tenant}")


@asynccontextmanager
async def running(
    plane: ControlPlane, postgres: PostgresDatabase, folder: Path, **settings: Any
) -> AsyncGenerator[Api]:
    """An api on a free port, installed as `agentic-api install` does it."""
    key = await install(FolderStore(folder), dsn=postgres.migrator)
    values: dict[str, Any] = {
        "database_url": postgres.api,
        "pepper_file": folder / "agentic-api-keys" / "pepper",
        "run_token_key_file": folder / "agentic-run-tokens" / "private.pem",
        "kubeconfig": plane.kubeconfig,
        "requests_per_minute": 0,
        "tenant_requests_per_minute": 0,
        "runtimes_anywhere": True,
        "host": "127.0.0.1",
        "port": free_port(),
        "metrics_port": free_port(),
        "drain_seconds": 0,
        "shutdown_timeout": 1,
    }
    configured = ApiSettings(**(values | settings))
    registry, lifecycle = CollectorRegistry(), Lifecycle()
    metrics = HttpMetrics(registry)
    app = create_app(
        configured,
        metrics,
        lambda: composition.opened(configured, registry=registry, http_metrics=metrics, lifecycle=lifecycle),
    )
    process = server(app, host=configured.host, port=configured.port, shutdown_seconds=1)
    async with serving(process) as url:

        async def synced() -> bool:
            return bool(app.state.context.synced())

        await until(synced, what="the catalog to be complete")
        yield Api(url, key, app.state.context, f"http://127.0.0.1:{configured.metrics_port}/metrics")


@dataclass(frozen=True)
class World:
    """Writes what the operator would write."""

    cluster: Cluster

    async def tenant(self, name: str | None = None, *, namespaces: tuple[str, ...] = ("default",)) -> str:
        """A new tenant with its namespaces, as the operator leaves it."""
        name = name or f"t{secrets.token_hex(4)}"
        spec = {"namespaces": {"declared": list(namespaces)}}
        full = [f"{name}-{short}" for short in namespaces]
        for namespace in full:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            await self.cluster.apply(body, MANAGER)
        base = {"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "metadata": {"name": name}}
        await self.cluster.apply(base | {"spec": spec}, MANAGER)
        states = [{"name": namespace, "phase": "Active"} for namespace in full]
        status = {"defaultNamespace": full[0], "namespaces": states}
        await self.cluster.apply_status(base | {"status": status}, MANAGER)
        return name

    async def ready(self, namespace: str, name: str, *, endpoint: str = "http://runtime.invalid:8080") -> str:
        """Resolve an agent as the operator does; answers with the revision's name."""
        agent = await self.cluster.get(custom(Agent).ref(name, namespace))
        assert agent is not None
        digest = secrets.token_hex(32)
        definition = {
            "systemPrompt": agent["spec"].get("systemPrompt", ""),
            "wire": "openaiCompatible",
            "models": [{"provider": "local", "name": agent["spec"]["model"]["name"]}],
            "maxOutputTokens": 4096,
            "limits": agent["spec"]["limits"],
        }
        meta = {"name": f"{name}-{digest[:10]}", "namespace": namespace}
        base = {"apiVersion": "agentic.io/v1alpha1"}
        spec = {"agent": name, "hash": digest, "definition": definition}
        await self.cluster.apply(base | {"kind": AgentRevision.kind_name, "metadata": meta, "spec": spec}, MANAGER)
        condition = {
            "type": "Ready", "status": "True", "reason": "Ready", "message": "serves",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": agent["metadata"]["generation"],
        }  # fmt: skip
        revisions = {"latestRevision": meta["name"], "readyRevision": meta["name"]}
        status = revisions | {"endpoint": endpoint, "conditions": [condition]}
        body = base | {"kind": "Agent", "metadata": {"name": name, "namespace": namespace}, "status": status}
        await self.cluster.apply_status(body, MANAGER)
        return str(meta["name"])

    async def delete_tenant(self, name: str) -> None:
        """Ask for the deletion of a tenant."""
        await self.cluster.delete(custom(Tenant).ref(name))
