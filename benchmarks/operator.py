"""The operator on a real API server: CPU and memory for thousands of agents, writes after a restart, speed of edits.

The baseline is a program that is given what to write: server-side apply of the same objects, nothing observed or
decided. `benchmarks.upgrade` uses the same world.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentic_core import names
from agentic_core.cluster import Cluster, Reflector, Store
from agentic_core.cluster.kinds import DEPLOYMENT, NAMESPACE, Object, Ref, custom
from agentic_crds import Agent, AgentRevision, ModelProvider, Tenant
from benchmarks.measure import cpu_seconds, resident_bytes, table
from tests.support.apiserver import ControlPlane, control_plane
from tests.support.ports import free_port

AGENT, PROVIDER, REVISION, TENANT = custom(Agent), custom(ModelProvider), custom(AgentRevision), custom(Tenant)
TENANTS = 10
CONCURRENCY = 16
EDITS = 150
EDITS_PER_SECOND = 10
PATIENCE = 600.0


@dataclass(frozen=True)
class WorldCost:
    """What one size of world cost."""

    mode: str
    count: int
    cpu_ms: float
    """CPU milliseconds of the operator for each agent."""
    baseline_ms: float
    """CPU milliseconds of plain server-side apply for each agent."""
    megabytes: float
    restart_writes: int
    edits: list[float]
    """Seconds from an edit to its revision, sorted."""


@dataclass(frozen=True)
class Scrape:
    """Metrics of the operator."""

    queued: int
    settled: int
    """Reconciles of agents that ended well."""
    writes: int


@dataclass(frozen=True)
class Operator:
    """A running operator."""

    process: "subprocess.Popen[bytes]"
    port: int
    idle_cpu: float
    """CPU seconds that starting took, before anything was read."""

    def scrape(self) -> "Scrape":
        """The metrics of now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as response:
            text = response.read().decode()

        def total(pattern: str) -> int:
            return int(sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE)))

        return Scrape(
            queued=total("agentic_operator_queue_depth"),
            settled=total(r'agentic_operator_reconcile_seconds_count\{[^}]*kind="Agent",outcome="settled"\}'),
            writes=total(r"agentic_operator_writes_total\{[^}]*\}"),
        )


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:g} s in vain for {what}")
        await asyncio.sleep(0.2)


async def all_of(calls: Iterable[Awaitable[Any]]) -> None:
    """Await all, a few at a time."""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(call: Awaitable[Any]) -> None:
        async with slots:
            await call

    await asyncio.gather(*(one(call) for call in calls))


@asynccontextmanager
async def operator(plane: ControlPlane, *, tree: Path | None = None) -> AsyncIterator[Operator]:
    """The operator as a process of its own, of another source tree if given. It hands its lease over at the end."""
    port = free_port()
    env = (
        os.environ
        | _python_path(tree)
        | {
            "AGENTIC_KUBECONFIG": str(plane.kubeconfig),
            "AGENTIC_HOST": "127.0.0.1",
            "AGENTIC_PORT": str(port),
            "AGENTIC_LIVENESS_PORT": str(free_port()),
            "AGENTIC_NAMESPACE": "default",
            "AGENTIC_RUNTIME_IMAGE": "runtime:1",
            "AGENTIC_RUN_TOKEN_KEYS": "none",
            "AGENTIC_LOG_LEVEL": "warning",
        }
    )
    process = subprocess.Popen([sys.executable, "-m", "agentic_operator.main"], env=env)

    async def serves() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1):
                return True
        except OSError:
            return False

    try:
        await until(serves, "the operator's metrics")
        yield Operator(process, port, cpu_seconds(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def _python_path(tree: Path | None) -> dict[str, str]:
    folders = ("crds", "core", "operator")
    return {"PYTHONPATH": os.pathsep.join(str(tree / folder) for folder in folders)} if tree else {}


def namespace_of(number: int) -> str:
    """The namespace of the agent of this number."""
    return f"bench-{number % TENANTS}-default"


def agent(number: int, mode: str, prompt: str = "Answer in one sentence.", *, tools: bool = True) -> Object:
    """An agent with a prompt of ordinary length."""
    return {
        "apiVersion": AGENT.api_version,
        "kind": AGENT.name,
        "metadata": {"name": f"agent-{number:05}", "namespace": namespace_of(number)},
        "spec": {
            "description": "An agent of the benchmark",
            "systemPrompt": prompt + " You are a careful assistant." * 15,
            "model": {"provider": "models", "name": "m"},
            "runtime": {"mode": mode},
        }
        | ({"tools": [{"name": "calculator", "builtin": "calculator"}]} if tools else {}),
    }


async def prepare(user: Cluster, *, tools: bool = True) -> None:
    """Tenants with a provider and one agent, and the runtime that Kubernetes would have started."""
    for number in range(TENANTS):
        spec = {"quotas": {"agents": 1000000}}
        await user.apply(_object(TENANT.name, f"bench-{number}", spec), "bench")
    for number in range(TENANTS):

        async def exists(number: int = number) -> bool:
            return await user.get(NAMESPACE.ref(namespace_of(number))) is not None

        await until(exists, f"the namespace {namespace_of(number)}")
        provider = {"type": "openai", "baseUrl": "http://192.0.2.1/v1", "models": [{"name": "m"}]}
        await user.apply(_object(PROVIDER.name, "models", provider, namespace_of(number)), "bench")
        await user.apply(
            agent(number, "Shared", tools=tools) | {"metadata": {"name": "first", "namespace": namespace_of(number)}},
            "bench",
        )
    for number in range(TENANTS):
        await _start_runtime(user, namespace_of(number))


async def _start_runtime(user: Cluster, namespace: str) -> None:
    ref = DEPLOYMENT.ref(names.RUNTIME, namespace)

    async def exists() -> bool:
        return await user.get(ref) is not None

    await until(exists, str(ref))
    found = await user.get(ref) or {}
    status = {"observedGeneration": found["metadata"]["generation"], "replicas": 1, "readyReplicas": 1}
    status |= {"availableReplicas": 1, "updatedReplicas": 1}
    conditions = [{"type": "Available", "status": "True", "reason": "Bench", "message": ""}]
    metadata = {"name": ref.name, "namespace": namespace}
    body = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.name, "metadata": metadata}
    await user.apply_status(body | {"status": status | {"conditions": conditions}}, "bench")


def _object(kind: str, name: str, spec: Object, namespace: str | None = None) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": AGENT.api_version, "kind": kind, "metadata": metadata, "spec": spec}


async def settle(running: Operator, count: int) -> None:
    """Wait until all agents are reconciled and nothing more happens."""
    seen: list[Scrape] = []

    async def quiet() -> bool:
        await asyncio.sleep(1)
        seen.append(running.scrape())
        return seen[-1].queued == 0 and seen[-1].settled >= count and len(seen) > 1 and seen[-1] == seen[-2]

    await until(quiet, "convergence")


async def baseline(user: Cluster, count: int) -> float:
    """CPU milliseconds of this process for each plain apply of what the operator wrote."""
    made = [revision async for page in user.pages(REVISION) for revision in page.items][:count]
    await user.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "baseline"}}, "bench")
    copies = [
        {key: revision[key] for key in ("apiVersion", "kind", "spec")}
        | {"metadata": {"name": revision["metadata"]["name"], "namespace": "baseline"}}
        for revision in made
    ]
    before = time.process_time()
    await all_of(user.apply(copy, "bench") for copy in copies)
    return 1000 * (time.process_time() - before) / len(copies)


async def edit(user: Cluster, count: int, mode: str) -> list[float]:
    """Seconds from each edit to its new revision, at a steady rate."""
    edited: dict[str, float] = {}
    took: list[float] = []

    def seen(_ref: Ref, revision: Object | None) -> None:
        name = revision["metadata"].get("labels", {}).get(names.OWNER_NAME, "") if revision else ""
        if begun := edited.pop(name, None):
            took.append(time.monotonic() - begun)

    reflector = Reflector(cluster=user, kind=REVISION, sink=Store(REVISION, seen))
    watching = asyncio.create_task(reflector.run())
    await reflector.synced.wait()
    for number in range(EDITS):
        due = time.monotonic() + 1 / EDITS_PER_SECOND
        body = agent(number % count, mode, prompt=f"Edit {number}.")
        edited[body["metadata"]["name"]] = time.monotonic()
        await user.apply(body, "bench")
        await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def all_seen() -> bool:
        return len(took) >= EDITS

    await until(all_seen, "all revisions")
    watching.cancel()
    return sorted(took)


async def measure(plane: ControlPlane, mode: str, count: int) -> WorldCost:
    """One size of world."""
    async with Cluster(plane.credentials) as user:
        async with operator(plane):
            await prepare(user)
        await all_of(user.apply(agent(number, mode), "bench") for number in range(count))
        async with operator(plane) as running:
            await settle(running, count)
            cpu = cpu_seconds(running.process.pid) - running.idle_cpu
            memory = resident_bytes(running.process.pid)
        plain = await baseline(user, count)
        async with operator(plane) as running:
            await settle(running, count)
            writes = running.scrape().writes
            edits = await edit(user, count, mode)
    return WorldCost(mode, count, 1000 * cpu / count, plain, memory / 2**20, writes, edits)


def main() -> None:
    """Print the table."""
    results = []
    for mode, count in (("Shared", 2000), ("Dedicated", 500), ("Shared", 10000)):
        with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as plane:
            results.append(asyncio.run(measure(plane, mode, count)))
    table(
        [
            ("agents", "CPU ms each", "plain apply", "ratio", "RSS MB", "writes on restart", "edit p50", "edit p99"),
            *(_row(result) for result in results),
        ]
    )


def _row(result: WorldCost) -> tuple[str, ...]:
    p50, p99 = result.edits[len(result.edits) // 2], result.edits[int(len(result.edits) * 0.99)]
    return (
        f"{result.count} {result.mode}",
        f"{result.cpu_ms:.2f}",
        f"{result.baseline_ms:.2f}",
        f"{result.cpu_ms / result.baseline_ms:.1f}x",
        f"{result.megabytes:.0f}",
        str(result.restart_writes),
        f"{1000 * p50:.0f} ms",
        f"{1000 * p99:.0f} ms",
    )


if __name__ == "__main__":
    main()
