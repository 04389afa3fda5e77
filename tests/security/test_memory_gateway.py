"""A gateway serves all tenants: what some send, or their providers respond, takes neither its memory nor its time."""

import asyncio
import contextlib
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentic_core.auth import run_tokens
from agentic_core.egress import Guard
from agentic_gateway.call import upstream
from agentic_gateway.call.upstream import AttemptProgress
from tests.security.gateway_server import tenant_id
from tests.security.measure import MIB, peak
from tests.security.provider import provider
from tests.support.ports import free_port
from tests.support.postgres import PostgresDatabase
from tests.support.runs import begin_run
from tests.support.waiting import LONG, PATIENCE, until

pytestmark = pytest.mark.slow

LIMIT = 768
"""MiB that the chart gives a gateway."""
LARGE = b'"user":"' + b"y" * (31 * MIB) + b'"'
"""A member of 31 MiB."""
SMALL = b'"temperature":1'


@dataclass
class Program:
    """The gateway as a process."""

    pid: int
    port: int
    signer: Ed25519PrivateKey
    dsn: str
    runs: dict[int, str] = field(default_factory=dict)

    async def token(self, tenant: int) -> str:
        """A token of the tenant's one run, which may use a billion tokens."""
        if tenant not in self.runs:
            run_id = uuid4()
            self.runs[tenant] = str(run_id)
            await begin_run(self.dsn, tenant_id(tenant), run_id)
        claims = run_tokens.RunClaims(
            tenant_id=str(tenant_id(tenant)),
            tenant=f"t{tenant}",
            namespace=f"t{tenant}-default",
            agent="a",
            run_id=self.runs[tenant],
            models=("good/m", "silent/m", "large/m", "endless/m"),
            max_tokens=1_000_000_000,
        )
        return run_tokens.sign(claims, self.signer, lifetime=600)

    async def call(self, tenant: int, behaviour: str, member: bytes = SMALL, *, reads: bool = True) -> int:
        """The status of a call, which the caller may leave unread."""
        body = b'{"model":"%s/m","messages":[],"max_tokens":1,%s}' % (behaviour.encode(), member)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.closing(writer):
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {await self.token(tenant)}"
            writer.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode())
            sending = asyncio.create_task(_send(writer, body))  # a refusal comes before the body is sent
            try:
                status = int((await reader.readline()).split()[1])
            finally:
                sending.cancel()
            if not reads:
                await asyncio.Event().wait()
            return status

    async def ready(self) -> bool:
        """Whether it serves."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        with contextlib.closing(writer):
            writer.write(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            return b" 200 " in await reader.readline()


async def _send(writer: asyncio.StreamWriter, body: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(body), MIB):
            writer.write(body[start : start + MIB])
            await writer.drain()


@pytest.fixture
async def program(postgres: PostgresDatabase, tmp_path: Path) -> AsyncGenerator[Program]:
    """The gateway with twelve tenants."""
    private, public = run_tokens.generate()
    (tmp_path / "public.pem").write_text(public)
    port = free_port()
    settings = {
        "AGENTIC_DATABASE_URL": postgres.gateway,
        "AGENTIC_RUN_TOKEN_PUBLIC_KEY_FILE": str(tmp_path / "public.pem"),
        "AGENTIC_LOOPBACK_PROVIDERS": "true",
        "AGENTIC_HOST": "127.0.0.1",
        "AGENTIC_PORT": str(port),
        "AGENTIC_SHARE_WAIT_SECONDS": "2",
        "AGENTIC_LOG_LEVEL": "error",
    }
    async with provider() as url:
        command = ["-m", "tests.security.gateway_server", url, "12"]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, env=os.environ | settings)
        try:
            running = Program(process.pid, port, run_tokens.private_key(private), postgres.programs)
            await until(running.ready, "the gateway to be ready")
            yield running
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def attacked(*calls: "asyncio.Task[int]") -> AsyncGenerator[None]:
    """While these calls are in progress."""
    try:
        yield
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def good_calls(program: Program, tenant: int, seconds: float) -> list[float]:
    """The times of a tenant's ordinary calls, one after the other; all of them succeed."""
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.perf_counter()
        assert await program.call(tenant, "good") == 200
        times.append(time.perf_counter() - started)
    return times


async def statuses(calls: "list[asyncio.Task[int]]") -> dict[int, int]:
    """How many calls have ended with which status."""
    ended = [call.result() for call in calls if call.done() and not call.cancelled()]
    return {status: ended.count(status) for status in ended}


async def test_large_requests_of_one_tenant_take_its_share(program: Program) -> None:
    quiet = await good_calls(program, 1, 2)
    large = [asyncio.create_task(program.call(0, "silent", LARGE)) for _ in range(16)]
    async with attacked(*large):
        under_attack = await good_calls(program, 1, 4)
        async with asyncio.timeout(LONG):
            while (await statuses(large)).get(429, 0) < 14:
                await asyncio.sleep(0.05)
        assert await statuses(large) == {429: 14}, "two are in progress"
        assert peak(program.pid) < LIMIT
        assert await program.call(0, "good") == 200, "small calls of the same tenant go on"
    assert statistics.median(under_attack) < 3 * statistics.median(quiet) + 0.05
    assert max(under_attack) < PATIENCE
    assert await program.call(0, "good", LARGE) == 200, "permits come back"


async def test_large_requests_of_many_tenants_are_bounded_together(program: Program) -> None:
    large = [asyncio.create_task(program.call(n % 11, "silent", LARGE)) for n in range(33)]
    async with attacked(*large):
        await good_calls(program, 11, 4)
        async with asyncio.timeout(LONG):
            while (await statuses(large)).get(429, 0) < 27:
                await asyncio.sleep(0.05)
        assert peak(program.pid) < LIMIT
        assert await good_calls(program, 0, 1)


async def test_large_responses_that_nobody_reads_are_bounded(program: Program) -> None:
    unread = [asyncio.create_task(program.call(n % 3, "large", reads=False)) for n in range(24)]
    async with attacked(*unread):
        await good_calls(program, 11, 4)
        assert peak(program.pid) < LIMIT


async def test_events_without_an_end_are_bounded(program: Program) -> None:
    streams = [asyncio.create_task(program.call(n % 2, "endless")) for n in range(100)]
    async with attacked(*streams):
        await good_calls(program, 11, 3)
        assert peak(program.pid) < LIMIT


async def test_calls_in_progress_are_bounded(program: Program) -> None:
    waiting = [asyncio.create_task(program.call(0, "silent")) for _ in range(300)]
    async with attacked(*waiting):
        async with asyncio.timeout(LONG):
            while (await statuses(waiting)).get(429, 0) < 300 - 256:
                await asyncio.sleep(0.05)
        assert await statuses(waiting) == {429: 300 - 256}
        await good_calls(program, 1, 1)
        assert peak(program.pid) < LIMIT / 2


async def test_the_kernel_keeps_little_of_a_response_that_nobody_reads() -> None:
    guard = Guard(private=True, loopback=True)
    async with provider() as url, upstream.client(guard, connect=5, silence=5, per_host=1) as client:
        response = await client.request(
            "POST", f"{url}/endless", tenant="t", data=b"{}", trace_request_ctx=AttemptProgress()
        )
        assert response.connection is not None
        assert response.connection.transport is not None
        connected = response.connection.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * upstream.RECEIVE_BYTES
        response.close()
