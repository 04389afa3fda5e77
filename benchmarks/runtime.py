"""The agent runtime: CPU to ready, idle memory, memory of each further agent, and CPU of a run with an instant model.

Run, model and client are processes on loopback. The baseline, in the same run, passes the request and the stream of the
same model on and does nothing else. `make bench` runs it.
"""

import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop

from agentic_core.auth import run_tokens
from benchmarks.measure import Load, cpu_seconds, load, resident_bytes, table
from benchmarks.processes import process, wait_until_ready
from tests.support.ports import free_port

WARM_UP = 50
SEQUENTIAL = 300
CONCURRENT = 800
CONCURRENCY = 16
AGENTS = 100
MIB = 2**20
PROGRAM = str(Path(sys.executable).parent / "agentic-runtime")
PRIVATE, PUBLIC = run_tokens.generate()
KEY = run_tokens.private_key(PRIVATE)
TOOLS: tuple[tuple[str, ...], ...] = ((), ("calculator",), ("http_fetch",), ("calculator", "http_fetch"))

Request = Callable[[], Awaitable[None]]


def body(number: int, *, wire: str = "openai", tools: tuple[str, ...] = (), prompt: str = "Be brief.") -> bytes:
    """A run request of the agent with this number."""
    definition = {
        "systemPrompt": prompt,
        "wire": wire,
        "models": [{"provider": "main", "name": "echo"}],
        "maxOutputTokens": 1000,
        "tools": [{"name": name, "kind": "builtin", "builtin": name} for name in tools],
        "limits": {},
    }
    run = {"run_id": "run", "tenant": "bench", "namespace": "bench", "agent": "echo", "revision": f"echo-{number}"}
    message = {"role": "user", "content": "What is the capital of France, and why is it not Lyon?"}
    return orjson.dumps({**run, "definition": definition, "messages": [message]})


def headers() -> dict[str, str]:
    """The credential of all runs here."""
    claims = run_tokens.RunClaims(
        tenant_id="bench", tenant="bench", namespace="bench", agent="echo", run_id="run", models=("main/echo",)
    )
    return {"Authorization": f"Bearer {run_tokens.sign(claims, KEY, lifetime=3600)}"}


def posting(session: aiohttp.ClientSession, url: str, bodies: Iterator[bytes], end: bytes) -> Request:
    """A request that checks how its answer ends."""

    async def request() -> None:
        async with session.post(f"{url}/v1/run", data=next(bodies)) as answer:
            content = await answer.read()
            assert content.rstrip().rpartition(b"\n")[2].startswith(end), content

    return request


@contextmanager
def model() -> Iterator[str]:
    """The instant model's URL."""
    with process([sys.executable, "-m", "benchmarks.echo"]) as running:
        assert running.stdout
        yield f"http://127.0.0.1:{running.stdout.readline().strip()}"


@contextmanager
def runtime(model_url: str) -> Iterator[tuple[str, int, float, float]]:
    """A runtime's URL and pid, and what being ready took: CPU seconds and resident bytes."""
    port = free_port()
    env = {
        "AGENTIC_HOST": "127.0.0.1",
        "AGENTIC_PORT": str(port),
        "AGENTIC_NAMESPACE": "bench",
        "AGENTIC_GATEWAY_URL": model_url,
        "AGENTIC_RUN_TOKEN_KEYS": PUBLIC,
        "AGENTIC_LOG_LEVEL": "warning",
        "AGENTIC_DRAIN_LINGER": "0",
    }
    with process([PROGRAM], env=env) as running:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/readyz")
        yield url, running.pid, cpu_seconds(running.pid), resident_bytes(running.pid)


def settle(pid: int) -> float:
    """CPU seconds of a process once it has stopped working on its own."""
    before, now = -1.0, cpu_seconds(pid)
    while now > before:
        time.sleep(0.5)
        before, now = now, cpu_seconds(pid)
    return now


async def runs(url: str, pid: int, wire: str, end: bytes) -> tuple[Load, Load]:
    """Runs one after the other, and 16 at a time."""
    async with aiohttp.ClientSession(headers=headers()) as session:
        request = posting(session, url, itertools.repeat(body(0, wire=wire)), end)
        await load(request, count=WARM_UP, concurrency=4, processes={"it": pid})
        alone = await load(request, count=SEQUENTIAL, concurrency=1, processes={"it": pid})
        crowded = await load(request, count=CONCURRENT, concurrency=CONCURRENCY, processes={"it": pid})
    return alone, crowded


async def further_agents(url: str, pid: int) -> float:
    """MiB that each further agent takes: other prompts of 4 KiB, and all sets of tools."""
    async with aiohttp.ClientSession(headers=headers()) as session:
        shapes = itertools.cycle(TOOLS)
        bodies = (body(number, tools=next(shapes), prompt=f"{number} " * 1000) for number in itertools.count())
        request = posting(session, url, bodies, b'{"type":"final"')
        await load(request, count=50, concurrency=1, processes={"it": pid})
        before = resident_bytes(pid)
        await load(request, count=AGENTS, concurrency=1, processes={"it": pid})
    return (resident_bytes(pid) - before) / AGENTS / MIB


def bare_runs(model_url: str) -> tuple[Load, Load]:
    """The baseline's runs."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, "-m", "benchmarks.runtime_bare", str(port), model_url]) as running:
        wait_until_ready(f"{url}/readyz")
        return uvloop.run(runs(url, running.pid, "openai", b"data: [DONE]"))


def row(name: str, measured: tuple[Load, Load], bare: tuple[Load, Load]) -> tuple[str, ...]:
    """A line of the table of runs."""
    alone, crowded = measured
    return (
        name,
        f"{alone.p50:.2f} ms",
        f"{alone.cpu_ms():.2f} ms",
        f"{crowded.per_second:.0f}/s",
        f"{crowded.cpu_ms():.2f} ms",
        f"{alone.cpu_ms() / bare[0].cpu_ms():.1f} x",
    )


def main() -> None:
    """Print the tables."""
    with model() as model_url:
        with runtime(model_url) as (url, pid, ready_cpu, ready_memory):
            warm_cpu, idle = settle(pid), resident_bytes(pid)
            openai = uvloop.run(runs(url, pid, "openai", b'{"type":"final"'))
            further = uvloop.run(further_agents(url, pid))
            anthropic = uvloop.run(runs(url, pid, "anthropic", b'{"type":"final"'))
            both = resident_bytes(pid)
        bare = bare_runs(model_url)
    table(
        [
            ("", "measured", "bar"),
            ("CPU to ready", f"{ready_cpu:.2f} s", "1.2 s"),
            ("CPU until warm", f"{warm_cpu:.2f} s", ""),
            ("memory when ready", f"{ready_memory / MIB:.0f} MiB", "150 MB"),
            ("memory idle, OpenAI loaded", f"{idle / MIB:.0f} MiB", "150 MB"),
            ("memory after runs on both wires", f"{both / MIB:.0f} MiB", ""),
            ("each further Shared agent", f"{further:.3f} MiB", "1 MiB"),
        ]
    )
    print()
    head = ("a run", "p50 alone", "CPU alone", f"at {CONCURRENCY}", f"CPU at {CONCURRENCY}", "CPU to bare")
    rows: list[Any] = [head, row("bare relay", bare, bare), row("OpenAI", openai, bare)]
    table([*rows, row("Anthropic", anthropic, bare)])
