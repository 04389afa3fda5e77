"""The gateway's hop: calls of an instant model through the gateway against direct ones, in the same run.

Echo, PostgreSQL with its durable settings and the gateway are processes on loopback; each answer is charged. The client
is a bare one, so that what is measured is the gateway. `make bench` runs it.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import uvloop

from agentic_core.auth import run_tokens
from benchmarks.gateway_server import NAMESPACE, TENANT_ID
from benchmarks.measure import cpu_seconds
from benchmarks.processes import process, wait_until_ready
from tests.support.ports import free_port
from tests.support.postgres import Postgres, PostgresDatabase
from tests.support.runs import begin_run

SEQUENTIAL = 1500
CONCURRENCY = 16
CONCURRENT = 6000
STREAMS = 400
RATE = 400
STEADY_SECONDS = 5
PROMPT = "What is the capital of France, and why is it not Lyon? " * 4


@dataclass(frozen=True)
class Target:
    """Where to send requests, and with which credential and model."""

    port: int
    token: str
    model: str

    def request(self, *, stream: bool = False) -> bytes:
        """A whole HTTP request."""
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
        body = orjson.dumps({"model": self.model, "messages": messages, "stream": stream, "temperature": 0.2})
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {self.token}"
        )
        return f"{head}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


class Client:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, target: Target) -> "Client":
        """Connect to the target."""
        return cls(*await asyncio.open_connection("127.0.0.1", target.port))

    async def call(self, request: bytes) -> float:
        """Seconds to the end of a whole answer."""
        started = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        taken = time.perf_counter() - started
        assert head.startswith(b"HTTP/1.1 200"), head + body
        return taken

    async def stream(self, request: bytes) -> float:
        """Seconds to the first event of a streamed answer, which is read to its end."""
        started = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        data = await self._reader.readuntil(b"\n\n")
        taken = time.perf_counter() - started
        assert head.startswith(b"HTTP/1.1 200"), head + data
        await self._reader.readuntil(b"\r\n0\r\n\r\n")
        return taken

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def alternating(
    targets: tuple[Target, Target], count: int, call: Callable[[Client, bytes], Awaitable[float]], *, stream: bool
) -> tuple[list[float], list[float]]:
    """Times of calls of both targets in turns, so that both see the same machine."""
    clients = [(await Client.connect(target), target.request(stream=stream)) for target in targets]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(count + 50):
        for (client, request), taken in zip(clients, times, strict=True):
            seconds = await call(client, request)
            if number >= 50:
                taken.append(seconds)
    for client, _ in clients:
        client.close()
    return times


async def crowd(target: Target, count: int) -> tuple[float, list[float]]:
    """Requests a second, and times, with `CONCURRENCY` connections."""
    request = target.request()

    async def one() -> list[float]:
        client = await Client.connect(target)
        taken = [await client.call(request) for _ in range(count // CONCURRENCY)]
        client.close()
        return taken

    started = time.perf_counter()
    times = sum(await asyncio.gather(*(one() for _ in range(CONCURRENCY))), start=list[float]())
    return len(times) / (time.perf_counter() - started), times


async def steady(targets: tuple[Target, Target]) -> tuple[list[float], list[float]]:
    """Times of both targets at `RATE` requests a second, each sent when its time has come whatever became of others."""
    times: tuple[list[float], list[float]] = ([], [])
    for target, taken in zip(targets, times, strict=True):
        idle = [await Client.connect(target) for _ in range(CONCURRENCY)]
        async with asyncio.TaskGroup() as group:
            started = time.perf_counter()
            for number in range(RATE * STEADY_SECONDS):
                await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
                client = idle.pop() if idle else await Client.connect(target)
                group.create_task(_timed(client, target, taken, idle))
        for client in idle:
            client.close()
    return times


async def _timed(client: Client, target: Target, taken: list[float], idle: list[Client]) -> None:
    taken.append(await client.call(target.request()))
    idle.append(client)


def at(times: list[float], share: float) -> float:
    """A quantile in milliseconds."""
    return statistics.quantiles(times, n=1000, method="inclusive")[int(share * 1000) - 1] * 1000


def table(name: str, direct: list[float], through: list[float]) -> None:
    """One row of the comparison."""
    figures = [(at(direct, share), at(through, share)) for share in (0.5, 0.99)]
    (p50, gateway_p50), (p99, gateway_p99) = figures
    print(
        f"{name:<24} direct p50 {p50:6.2f} p99 {p99:6.2f} ms | gateway p50 {gateway_p50:6.2f} p99 {gateway_p99:6.2f} ms"
        f" | added p50 {gateway_p50 - p50:5.2f} p99 {gateway_p99 - p99:5.2f} ms | ratio {gateway_p50 / p50:.1f}x"
    )


async def measure(direct: Target, through: Target, pids: dict[str, int]) -> None:
    """All figures."""
    targets = direct, through
    await crowd(through, 320)
    table("one at a time", *await alternating(targets, SEQUENTIAL, Client.call, stream=False))
    table("first streamed byte", *await alternating(targets, STREAMS, Client.stream, stream=True))
    table(f"{RATE} a second", *await steady(targets))
    rate, times = await crowd(direct, CONCURRENT)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    gateway_rate, gateway_times = await crowd(through, CONCURRENT)
    used = {name: (cpu_seconds(pid) - before[name]) * 1000 / len(gateway_times) for name, pid in pids.items()}
    table(f"{CONCURRENCY} at a time", times, gateway_times)
    print(f"requests a second        direct {rate:.0f} | gateway {gateway_rate:.0f} | ratio {gateway_rate / rate:.2f}x")
    mine = used["gateway"] + used["postgres"]
    print(
        "CPU ms a request         "
        + " | ".join(f"{name} {ms:.2f}" for name, ms in used.items())
        + f" | both {mine:.2f}"
    )
    print("bars: added p50 <= 2 ms, p99 <= 10 ms; first byte <= 3 ms; >= 400 requests/s; <= 2.5 ms CPU")


def environment(database: PostgresDatabase, public_key: Path, port: int) -> dict[str, str]:
    """The gateway's settings."""
    return {
        "AGENTIC_DATABASE_URL": database.gateway,
        "AGENTIC_RUN_TOKEN_PUBLIC_KEY_FILE": str(public_key),
        "AGENTIC_LOOPBACK_PROVIDERS": "true",
        "AGENTIC_HOST": "127.0.0.1",
        "AGENTIC_PORT": str(port),
        "AGENTIC_CALLS_PER_TENANT": "10000",  # all calls are one tenant's, and pile up on a busy machine
        "AGENTIC_CALLS": "10000",
    }


def main() -> None:
    """Start everything, measure, print."""
    private, public = run_tokens.generate()
    claims = run_tokens.RunClaims(
        tenant_id=TENANT_ID,
        tenant="bench",
        namespace=NAMESPACE,
        agent="bench",
        run_id=str(uuid4()),
        models=("echo/echo", "claude/echo"),
        max_tokens=1_000_000_000,
    )
    token = run_tokens.sign(claims, run_tokens.private_key(private), lifetime=3600)
    port = free_port()
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder, Postgres(durable=True) as postgres:
        key = Path(folder) / "public.pem"
        key.write_text(public)
        database = asyncio.run(postgres.fresh())
        asyncio.run(begin_run(database.programs, UUID(claims.tenant_id), UUID(claims.run_id)))
        settings = environment(database, key, port)
        with process([python, "-m", "benchmarks.echo"]) as echo:
            assert echo.stdout
            echo_port = int(echo.stdout.readline())
            command = [python, "-m", "benchmarks.gateway_server", f"http://127.0.0.1:{echo_port}"]
            with process(command, env=settings) as gateway:
                wait_until_ready(f"http://127.0.0.1:{port}/readyz")
                pids = {"gateway": gateway.pid, "postgres": postgres.pid, "echo": echo.pid}
                direct, through = Target(echo_port, token, "echo"), Target(port, token, "echo/echo")
                uvloop.run(measure(direct, through, pids))


if __name__ == "__main__":
    main()
