"""The api around a catalog that the test fills, a real database and a stand-in runtime: no cluster, all else real."""

import asyncio
import dataclasses
import secrets
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

import agentic_crds as crds
from agentic_api import composition
from agentic_api.app import create_app
from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.definitions import GetObject
from agentic_api.composition import Parts, ResourceSource
from agentic_api.keys.repository import KeyRepository
from agentic_api.runs.lifecycle.capacity import Capacity
from agentic_api.runs.lifecycle.driver import DriverTiming
from agentic_api.runs.lifecycle.leases import LeaseTimes
from agentic_api.runs.lifecycle.replica import RunTiming
from agentic_api.runs.lifecycle.runtime_client import Bounds
from agentic_api.settings import ApiSettings
from agentic_core.auth import api_keys, run_tokens
from agentic_core.auth.api_keys import Role
from agentic_core.backoff import Backoff
from agentic_core.cluster.kinds import Object, Ref
from agentic_core.db import Database, tables
from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.server import server
from tests.support import processes
from tests.support.ports import free_port
from tests.support.serving import serving as running_server
from tests.support.waiting import until

PEPPER = b"pepper"
QUICK = RunTiming(
    driver=DriverTiming(retry=Backoff(first=0.01, longest=0.02), attempts=3),
    leases=LeaseTimes(lease_seconds=3.0, interval_seconds=0.3),
    bounds=Bounds(
        silence_seconds=3.0,
        connect_seconds=1.0,
        line_bytes=100_000,
        total_bytes=1_000_000,
        events=5_000,
        retry_after_seconds=1.0,
    ),
    drain_seconds=0.2,
)
"""Times that a test can wait for, and that a process on a busy machine does not take between two steps."""
AMPLE = Capacity()


@dataclass(frozen=True)
class Tenant:
    """A tenant with a key."""

    id: UUID
    name: str
    key: str


async def tenant(database: Database, *, role: Role = Role.OWNER) -> Tenant:
    """A new tenant with a key."""
    tenant_id, name, key = uuid4(), f"t{secrets.token_hex(4)}", api_keys.create()
    async with database.session(tenant_id) as session:
        await session.execute(tables.tenants.insert().values(tenant_id=tenant_id, name=name))
        await KeyRepository(session).add(key, name="test", role=role, pepper=PEPPER, expires_at=None)
    return Tenant(tenant_id, name, key.text)


def catalog_of(tenants: list[Tenant], *, endpoint: str) -> Catalog:
    """A catalog of tenants with ready agents."""
    catalog = Catalog()
    for one in tenants:
        namespace = f"{one.name}-default"
        states = [{"name": namespace, "phase": "Active"}]
        resource = _resource(one.name, "", {"defaultNamespace": namespace, "namespaces": states})
        resource["metadata"]["uid"] = str(one.id)
        catalog.stores[crds.Tenant].put(resource)
        for agent in ("helper", "other"):
            revision = f"{agent}-0123456789"
            status = {"readyRevision": revision, "latestRevision": revision, "endpoint": endpoint}
            catalog.stores[crds.Agent].put(_resource(agent, namespace, status))
    return catalog


DEFINITION = {
    "systemPrompt": "Be brief.",
    "wire": "openaiCompatible",
    "models": [{"provider": "local", "name": "echo"}],
    "maxOutputTokens": 100,
    "limits": {"maxTokens": 1000, "maxExecutionTime": 60, "maxIterations": 5},
}


async def _revision(ref: Ref) -> Object:
    """What the API server has of a revision."""
    return {"metadata": {"name": ref.name, "namespace": ref.namespace}, "spec": {"definition": DEFINITION}}


def _resource(name: str, namespace: str, status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": str(uuid4()), "resourceVersion": "1"}
    return {"metadata": metadata, "status": status}


@dataclass(frozen=True)
class Api:
    """A replica of the api that serves."""

    url: str
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    def client(self, key: str) -> httpx2.AsyncClient:
        """A client with a key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@asynccontextmanager
async def serving(
    dsn: str,
    catalog: Catalog,
    *,
    signing_key: str | None = None,
    timing: RunTiming = QUICK,
    capacity: Capacity = AMPLE,
    port: int = 0,
    get: GetObject = _revision,
) -> AsyncGenerator[Api]:
    """A replica in this process, composed as in production but for the catalog."""

    @asynccontextmanager
    async def resources(_settings: ApiSettings, _database: Database) -> AsyncGenerator[ResourceSource]:
        yield ResourceSource(catalog, cluster=None, get=get, synced=lambda: True)

    registry, lifecycle = CollectorRegistry(), Lifecycle()
    metrics, parts = HttpMetrics(registry), Parts(resources=resources, timing=timing)
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(dsn, Path(folder), signing_key or run_tokens.generate()[0], capacity, port=port)
        app = create_app(
            settings,
            metrics,
            lambda: composition.opened(
                settings, registry=registry, http_metrics=metrics, lifecycle=lifecycle, parts=parts
            ),
        )
        async with running_server(server(app, host=settings.host, port=settings.port, shutdown_seconds=1)) as url:
            yield Api(url, lifecycle)


def _settings(dsn: str, folder: Path, signing_key: str, capacity: Capacity, *, port: int) -> ApiSettings:
    (folder / "pepper").write_bytes(PEPPER)
    (folder / "private.pem").write_text(signing_key)
    return ApiSettings(
        host="127.0.0.1",
        port=port or free_port(),
        metrics_port=free_port(),
        database_url=SecretStr(dsn),
        pepper_file=folder / "pepper",
        run_token_key_file=folder / "private.pem",
        requests_per_minute=0,
        tenant_requests_per_minute=0,
        runtimes_anywhere=True,
        event_days=0,
        **dataclasses.asdict(capacity),
    )


@dataclass
class ReplicaProcess:
    """A replica in a process of its own, to be killed."""

    api: Api
    process: processes.Program

    async def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        await processes.ended(self.process)


@asynccontextmanager
async def replica_process(
    dsn: str, tenants: list[Tenant], *, endpoint: str, ample: bool = False
) -> AsyncGenerator[ReplicaProcess]:
    """A replica as a child process, serving these tenants. With `ample`, runtimes may send as much as in production."""
    port = free_port()
    values = {"dsn": dsn, "tenants": tenants, "endpoint": endpoint, "port": port, "ample": ample}
    arguments = orjson.dumps(values).decode()
    with processes.program([sys.executable, "-m", "tests.api.runs.stage", arguments], {}) as process:
        replica = ReplicaProcess(Api(f"http://127.0.0.1:{port}"), process)
        await until(lambda: _responds(replica), what="the replica to serve")
        yield replica


async def _responds(replica: ReplicaProcess) -> bool:
    assert replica.process.poll() is None, "the replica has ended"
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", int(replica.api.url.rpartition(":")[2]))
    except OSError:
        return False
    writer.close()
    return True


async def _main(arguments: dict[str, Any]) -> None:
    tenants = [Tenant(**values | {"id": UUID(values["id"])}) for values in arguments["tenants"]]
    catalog = catalog_of(tenants, endpoint=arguments["endpoint"])
    timing = dataclasses.replace(QUICK, bounds=Bounds()) if arguments["ample"] else QUICK
    async with serving(arguments["dsn"], catalog, timing=timing, port=arguments["port"]):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(orjson.loads(sys.argv[1])))
