"""Probes, metrics, traces and shutting down."""

import asyncio
import signal
import sys
from pathlib import Path

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentic_api.install.installer import install
from agentic_api.install.secrets import FolderStore
from agentic_api.runs.lifecycle.replica import Replica
from tests.api import harness
from tests.api.harness import Api, World
from tests.requirements import requirement
from tests.support import processes
from tests.support.apiserver import ControlPlane
from tests.support.ports import free_port
from tests.support.postgres import Postgres, PostgresDatabase
from tests.support.waiting import until


@requirement("health")
async def test_without_its_database_it_lives_but_is_not_ready(
    plane: ControlPlane, postgres_of_my_own: Postgres, tmp_path: Path, world: World
) -> None:
    database = await postgres_of_my_own.fresh()
    async with harness.running(plane, database, tmp_path / "secrets") as api, api.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        await asyncio.to_thread(postgres_of_my_own.kill)
        assert (await client.get("/healthz")).status_code == 200
        waiting = await client.get("/readyz")
        assert (waiting.status_code, waiting.json()["code"]) == (503, "unavailable")
        assert "the database does not respond" in waiting.json()["detail"]
        refused = await client.get("/api/v1/keys")
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert refused.headers["retry-after"] == "1"
        await asyncio.to_thread(postgres_of_my_own.start)

        async def back() -> bool:
            return (await client.get("/api/v1/keys")).status_code == 200

        await until(back, what="the api to serve again")


@requirement("observability")
async def test_metrics_are_by_route_not_by_path(api: Api) -> None:
    async with api.client() as client:
        await client.get("/api/v1/tenants/somebody")
        await client.get("/nowhere/at/all")
        assert (await client.get("/metrics")).status_code == 404, "tenants' pods come here"
    async with api.client("") as prometheus:
        text = (await prometheus.get(api.metrics)).text
    assert (
        'agentic_http_request_duration_seconds_count{method="GET",route="/api/v1/tenants/{name}",status="404"} 1.0'
        in text
    )
    assert 'agentic_http_request_duration_seconds_count{method="GET",route="unmatched",status="404"} 2.0' in text
    assert "somebody" not in text


@requirement("observability")
async def test_a_request_goes_on_with_its_clients_trace(api: Api) -> None:
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    parent = "0af7651916cd43dd8448eb211c80319c"
    async with api.client() as client:
        missing = await client.get("/api/v1/tenants/x", headers={"traceparent": f"00-{parent}-b7ad6b7169203331-01"})
    assert missing.json()["trace_id"] == parent
    spans = [span for span in exporter.get_finished_spans() if span.name == "GET /api/v1/tenants/{name}"]
    assert len(spans) == 1
    exporter.shutdown()


@requirement("cors")
async def test_cors_is_off_until_it_is_set(
    api: Api, plane: ControlPlane, tmp_path: Path, postgres_server: Postgres
) -> None:
    origin = "https://console.example.com"
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with api.client() as client:
        silent = await client.get("/healthz", headers={"Origin": origin})
        assert "access-control-allow-origin" not in silent.headers
        assert (await client.options("/api/v1/agents", headers=ask)).status_code == 405
    database = await postgres_server.fresh()
    other = harness.running(plane, database, tmp_path / "other", cors_origins=[origin])
    async with other as permissive, permissive.client() as client:
        allowed = await client.options("/api/v1/agents", headers=ask)
        assert allowed.headers["access-control-allow-origin"] == origin
        foreign = await client.get("/healthz", headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in foreign.headers
    await postgres_server.drop(database)


@requirement("observability")
async def test_metrics_are_shown_while_the_last_runs_end(
    plane: ControlPlane, world: World, postgres: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    async def drain(_replica: Replica) -> None:
        async with httpx2.AsyncClient(trust_env=False) as prometheus:
            shown.append((await prometheus.get(api.metrics)).text)

    monkeypatch.setattr(Replica, "_drain", drain)
    async with harness.running(plane, postgres, tmp_path / "secrets") as api:
        pass
    assert "agentic_http_request_duration_seconds" in shown[0]


async def test_sigterm_fails_readiness_first_and_ends_cleanly(
    plane: ControlPlane, postgres_server: Postgres, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    database = await postgres_server.fresh()
    await install(FolderStore(tmp_path), dsn=database.migrator)
    settings = {
        "AGENTIC_DATABASE_URL": database.api,
        "AGENTIC_PEPPER_FILE": str(tmp_path / "agentic-api-keys" / "pepper"),
        "AGENTIC_RUN_TOKEN_KEY_FILE": str(tmp_path / "agentic-run-tokens" / "private.pem"),
        "AGENTIC_KUBECONFIG": str(plane.kubeconfig),
        "AGENTIC_HOST": "127.0.0.1",
        "AGENTIC_PORT": address.rpartition(":")[2],
        "AGENTIC_METRICS_PORT": "0",
        "AGENTIC_DRAIN_SECONDS": "1",
    }
    program = Path(sys.executable).with_name("agentic-api")
    log = tmp_path / "log"
    with processes.program([program], settings, log=log) as process:
        async with httpx2.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:

            async def ready() -> int:
                try:
                    return int((await client.get("/readyz")).status_code == 200)
                except httpx2.TransportError:
                    return 0

            await until(ready, what="the program to be ready")
            process.send_signal(signal.SIGTERM)

            async def draining() -> bool:
                return (await client.get("/readyz")).status_code == 503

            await until(draining, what="readiness to fail")
            assert (await client.get("/healthz")).status_code == 200
        assert await processes.ended(process) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    await postgres_server.drop(database)
