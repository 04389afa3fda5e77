"""The program `agentic-gateway` itself, with a real API server and a real PostgreSQL: signals, crashes, restarts."""

import asyncio
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from agentic_core import names
from agentic_core.auth import run_tokens
from agentic_core.auth.run_tokens import RunClaims
from tests.gateway.faults import DONE, FaultServer, answer, chunk, completion, delta, stream, usage
from tests.requirements import requirement
from tests.support import processes
from tests.support.apiserver import ControlPlane
from tests.support.ports import free_port
from tests.support.postgres import Postgres, PostgresDatabase, connected
from tests.support.runs import begin_run
from tests.support.waiting import LONG, PATIENCE

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "mock/m", "messages": [{"role": "user", "content": "Hello?"}]}
API = "/apis/agentic.io/v1alpha1"


@dataclass
class Program:
    """The gateway as a process."""

    url: str
    metrics: str
    process: processes.Program
    token: str

    def client(self) -> httpx2.AsyncClient:
        """A client with a token."""
        return httpx2.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)

    async def status(self, path: str) -> int:
        """The status of a path, 0 while it does not respond."""
        try:
            async with self.client() as client:
                return (await client.get(path)).status_code
        except httpx2.TransportError:
            return 0

    async def becomes(self, path: str, status: int) -> None:
        """Wait until a path has a status."""
        async with asyncio.timeout(LONG):
            while await self.status(path) != status:
                assert self.process.poll() is None, "the gateway ended"
                await asyncio.sleep(0.05)

    async def ended(self) -> int:
        """Wait until the process has ended; its exit code."""
        return await processes.ended(self.process)


class Site:
    """A tenant with a provider at a real API server, and the programs that serve it."""

    def __init__(self, folder: Path, plane: ControlPlane, namespace: str, url: str) -> None:
        self._folder = folder
        self._plane = plane
        self._namespace = namespace
        self._tenant = f"t{namespace.rpartition('-')[2]}"
        self._url = url
        self.tenant_id = UUID(int=0)
        """The uid of the Tenant, once it is declared."""
        private, public = run_tokens.generate()
        self._signer = run_tokens.private_key(private)
        (folder / "public.pem").write_text(public)

    def _put(self, path: str, name: str, obj: dict[str, Any]) -> Any:
        url = f"{path}/{name}?fieldManager=tests&force=true"
        return self._plane.request("PATCH", url, obj, "application/apply-patch+yaml")

    def declare(self, *, allowed: tuple[str, ...] = ("*",)) -> None:
        """The tenant, its provider `mock` and the Secret with its key, as a user would apply them."""
        kind = {"apiVersion": "agentic.io/v1alpha1"}
        tenant = {"metadata": {"name": self._tenant}, "spec": {"ai": {"models": {"allowed": list(allowed)}}}}
        made = self._put(f"{API}/tenants", self._tenant, kind | {"kind": "Tenant"} | tenant)
        self.tenant_id = UUID(made["metadata"]["uid"])
        labels = {names.PROVIDER_KEY: "true"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mock-key", "labels": labels}}
        data = {"data": {"api-key": b64encode(b"sk-real").decode()}}
        self._put(f"/api/v1/namespaces/{self._namespace}/secrets", "mock-key", secret | data)
        models = [{"name": "m", "price": {"input": "2", "output": "8"}}]
        spec = {"type": "openaiCompatible", "baseUrl": self._url, "secretRef": {"name": "mock-key"}, "models": models}
        provider = kind | {"kind": "ModelProvider", "metadata": {"name": "mock"}, "spec": spec}
        self._put(f"{API}/namespaces/{self._namespace}/modelproviders", "mock", provider)

    def _token(self, run_id: UUID) -> str:
        claims = RunClaims(
            tenant_id=str(self.tenant_id),
            tenant=self._tenant,
            namespace=self._namespace,
            agent="helper",
            run_id=str(run_id),
            models=("mock/m",),
        )
        return run_tokens.sign(claims, self._signer, lifetime=600)

    @asynccontextmanager
    async def program(self, database: PostgresDatabase, **changed: str) -> AsyncGenerator[Program]:
        """The program, ready to serve."""
        port, metrics_port = free_port(), free_port()
        settings = {
            "AGENTIC_DATABASE_URL": database.gateway,
            "AGENTIC_KUBECONFIG": str(self._plane.kubeconfig),
            "AGENTIC_RUN_TOKEN_PUBLIC_KEY_FILE": str(self._folder / "public.pem"),
            "AGENTIC_LOOPBACK_PROVIDERS": "true",
            "AGENTIC_HOST": "127.0.0.1",
            "AGENTIC_PORT": str(port),
            "AGENTIC_METRICS_PORT": str(metrics_port),
            "AGENTIC_DRAIN_SECONDS": "5",
        }
        run_id = uuid4()
        await begin_run(database.programs, self.tenant_id, run_id)
        command = [sys.executable, "-c", "from agentic_gateway.main import main; main()"]
        with processes.program(command, settings | changed) as process:
            running = Program(
                f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics", process, self._token(run_id)
            )
            await running.becomes("/readyz", 200)
            yield running

    async def charged(self, dsn: str) -> list[asyncpg.Record]:
        """The tenant's usage."""
        async with connected(dsn) as connection, connection.transaction():
            await connection.execute("select set_config('app.tenant_id', $1, true)", str(self.tenant_id))
            return list(await connection.fetch("select * from usage order by id"))


@pytest.fixture
def site(tmp_path: Path, plane: ControlPlane, namespace: str, upstream: FaultServer) -> Site:
    """A declared site whose provider is `upstream`."""
    declared = Site(tmp_path, plane, namespace, upstream.url)
    declared.declare()
    return declared


@requirement("health", "stateless")
async def test_resources_of_the_cluster_take_effect_at_once(
    site: Site, postgres: PostgresDatabase, upstream: FaultServer
) -> None:
    upstream.plays(answer(200, completion()))
    async with site.program(postgres) as gateway, gateway.client() as client:
        assert (await client.post(CHAT, json=ASK)).json()["choices"][0]["message"]["content"] == "Hello."
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-real"
        await asyncio.to_thread(site.declare, allowed=("other/*",))
        async with asyncio.timeout(PATIENCE):
            while (refused := await client.post(CHAT, json=ASK)).status_code == 200:
                pass
        assert refused.json()["error"]["code"] == "model_not_allowed"


async def test_what_was_answered_is_charged_though_the_gateway_is_killed_then(
    site: Site, postgres: PostgresDatabase, upstream: FaultServer
) -> None:
    streamed = stream(delta("Hello"), usage(3, 2), DONE)
    async with site.program(postgres) as gateway, gateway.client() as client:
        upstream.plays(*[answer(200, completion())] * 20, streamed)
        answered = await asyncio.gather(*(client.post(CHAT, json=ASK) for _ in range(20)))
        assert {one.status_code for one in answered} == {200}
        assert "[DONE]" in (await client.post(CHAT, json=ASK | {"stream": True})).text
        gateway.process.kill()
    rows = await site.charged(postgres.programs)
    assert len(rows) == 21
    assert len({row["id"] for row in rows}) == 21


async def test_sigterm_lets_streams_end_and_loses_no_usage(
    site: Site, postgres: PostgresDatabase, upstream: FaultServer
) -> None:
    go_on = asyncio.Event()

    async def waits(request: Any) -> AsyncGenerator[bytes]:
        async for piece in stream(delta("Hel"), end=False)(request):
            yield piece
        await go_on.wait()
        for event in (delta("lo"), usage(3, 2), DONE):
            yield chunk(event)
        yield b"0\r\n\r\n"

    upstream.plays(waits)
    async with site.program(postgres) as gateway, gateway.client() as client:
        async with client.stream("POST", CHAT, json=ASK | {"stream": True}) as streaming:
            pieces = streaming.aiter_text()
            text = await anext(pieces)
            gateway.process.send_signal(signal.SIGTERM)
            await gateway.becomes("/healthz", 0)
            go_on.set()
            text += "".join([piece async for piece in pieces])
        assert text.endswith("data: [DONE]\n\n")
        assert await gateway.ended() == 0
    (row,) = await site.charged(postgres.programs)
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", 3, 2)


async def test_a_stream_that_outlasts_the_drain_is_cut_off_and_charged(
    site: Site, postgres: PostgresDatabase, upstream: FaultServer
) -> None:
    upstream.plays(stream(delta("x" * 40), hang=True))
    settings = {"AGENTIC_DRAIN_SECONDS": "1"}
    async with (
        site.program(postgres, **settings) as gateway,
        gateway.client() as client,
        client.stream("POST", CHAT, json=ASK | {"stream": True}) as streaming,
    ):
        await anext(streaming.aiter_text())
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.ended()
    (row,) = await site.charged(postgres.programs)
    assert (row["estimated"], row["output_tokens"]) == (True, 10)


async def test_usage_waits_for_a_database_that_was_killed(
    site: Site, postgres_of_my_own: Postgres, upstream: FaultServer
) -> None:
    upstream.plays(answer(200, completion()))
    database = await postgres_of_my_own.fresh()
    settings = {"AGENTIC_USAGE_WAIT_SECONDS": "0.2"}
    async with site.program(database, **settings) as gateway, gateway.client() as client:
        assert (await client.post(CHAT, json=ASK)).status_code == 200
        await asyncio.to_thread(postgres_of_my_own.kill)
        assert (await client.post(CHAT, json=ASK)).status_code == 200, "the caller gets what it paid for"
        await gateway.becomes("/readyz", 503)
        await asyncio.to_thread(postgres_of_my_own.start)
        await gateway.becomes("/readyz", 200)
        async with asyncio.timeout(PATIENCE):
            while len(await site.charged(database.programs)) < 2:
                pass
        assert "agentic_gateway_usage_spilled_total 1.0" in (await client.get(gateway.metrics)).text
