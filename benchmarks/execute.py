"""An execution from HTTP request to stored answer, with an instant model; the baseline is a bare FastAPI echo.

All of the path is real: API key, catalog, both transactions, runtime, LangChain, gateway, metering.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from benchmarks import measure
from benchmarks.measure import Load
from tests.support import stack
from tests.support.ports import free_port
from tests.support.waiting import until_sync

COUNT = int(os.environ.get("BENCH_COUNT", "1000"))
CONCURRENCY = 16
WARM_UP = 100
BARE = """
import sys, uvicorn
from fastapi import FastAPI, Request
app = FastAPI()
@app.post("/echo")
async def echo(request: Request): return await request.json()
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", loop="uvloop", http="httptools")
"""


@contextmanager
def bare() -> Iterator[tuple[str, int]]:
    """A FastAPI application that does nothing: its URL and process."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)])
    try:
        until_sync(lambda: listens(port), "the bare echo to serve")
        yield f"http://127.0.0.1:{port}/echo", process.pid
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    """Whether connections are accepted."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """A request that has to succeed."""
    async with session.post(url, json=body) as answer:
        parsed: dict[str, Any] = await answer.json()
        assert answer.status < 300, parsed
        return parsed


async def tenant_key(url: str, admin_key: str) -> str:
    """A key for the benchmark's tenant, once the api has the tenant."""
    deadline = time.monotonic() + 30
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {admin_key}"}) as session:
        while True:
            body = {"name": "bench", "role": "developer", "tenant": "bench"}
            async with session.post(f"{url}/api/v1/keys", json=body) as answer:
                parsed = await answer.json()
            if answer.status == 201:
                return str(parsed["key"])
            assert time.monotonic() < deadline, parsed
            await asyncio.sleep(0.1)


async def sequential_and_concurrent(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], processes: dict[str, int]
) -> tuple[Load, Load]:
    """The same request one after another, then several at a time."""

    async def request() -> None:
        await post(session, url, body)

    await measure.load(request, count=WARM_UP, concurrency=CONCURRENCY, processes={})
    alone = await measure.load(request, count=COUNT // 2, concurrency=1, processes=processes)
    together = await measure.load(request, count=COUNT, concurrency=CONCURRENCY, processes=processes)
    return alone, together


async def first_piece(session: aiohttp.ClientSession, url: str) -> float:
    """Milliseconds to the first piece of a streamed answer: the median of many."""
    times: list[float] = []
    for _ in range(COUNT // 10):
        begun = time.perf_counter()
        async with session.post(url, json={"input": "Hello, echo.", "stream": True}) as answer:
            async for line in answer.content:
                if line.startswith(b"event: message.delta"):
                    times.append(time.perf_counter() - begun)
                    break
            await answer.read()
    return 1000 * sorted(times)[len(times) // 2]


async def measured(running: stack.Stack, base: tuple[str, int]) -> None:
    """Measure both and print the table."""
    key = await tenant_key(running.url, running.admin_key)
    url = f"{running.url}/api/v1/agents/echo/execute"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        run = await post(session, url, {"input": "Hello, echo."})
        assert run["status"] == "succeeded", run
        assert run["output"] == "Hello, echo.", run
        bare_alone, bare_together = await sequential_and_concurrent(session, base[0], {"input": "x"}, {"bare": base[1]})
        alone, together = await sequential_and_concurrent(session, url, {"input": "Hello, echo."}, running.processes)
        streamed = await first_piece(session, url)
    servers = [name for name in running.processes if name != "echo"]
    measure.table(
        [
            ("", "bare echo", "execute", "ratio", "bar"),
            row("p50 ms, sequential", bare_alone.p50, alone.p50, "≤ 15"),
            row("p99 ms, sequential", bare_alone.percentile(99), alone.percentile(99), ""),
            row(f"runs/s, {CONCURRENCY} at a time", bare_together.per_second, together.per_second, "≥ 100"),
            row("p99 ms, concurrent", bare_together.percentile(99), together.percentile(99), ""),
            row("CPU ms a run, without client", bare_together.cpu_ms("bare"), together.cpu_ms(*servers), "≤ 15"),
            row("CPU ms a run, sequential", bare_alone.cpu_ms("bare"), alone.cpu_ms(*servers), ""),
            row("first piece ms, streamed", bare_alone.p50, streamed, "≤ 15"),
        ]
    )
    print("  CPU ms a run by process:", ", ".join(f"{name} {together.cpu_ms(name):.1f}" for name in together.cpu))


def row(what: str, baseline: float, ours: float, bar: str) -> tuple[str, ...]:
    """A row of the table."""
    return what, f"{baseline:.1f}", f"{ours:.1f}", f"{ours / baseline:.1f} x", bar


def main() -> None:
    """Run the benchmark."""
    with stack.running() as running, bare() as base:
        asyncio.run(measured(running, base))


if __name__ == "__main__":
    main()
