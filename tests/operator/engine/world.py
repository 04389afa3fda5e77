"""What tests of the engine share: a running engine, operators as processes, and waiting for a condition."""

import asyncio
import json
import re
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from agentic_core.cluster import Cluster, Credentials, Options
from agentic_core.cluster.kinds import CONFIG_MAP, Object
from agentic_operator.engine.controller import AnyController
from agentic_operator.engine.engine import DISCOVERY_SECONDS, Engine
from agentic_operator.engine.metrics import OperatorMetrics
from tests.operator.engine.tiny import AGENT, TinyController
from tests.support import processes
from tests.support.apiserver import ControlPlane
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

eventually = until


@dataclass(frozen=True)
class Running:
    """An engine in this process."""

    engine: Engine
    metrics: OperatorMetrics

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def writes(self) -> float:
        """Objects written so far."""
        return self.total("agentic_operator_writes_total")

    @property
    def written(self) -> list[dict[str, str]]:
        """What was written so far, by the metric's labels."""
        found = [sample for metric in self.metrics.registry.collect() for sample in metric.samples]
        return [one.labels for one in found if one.name == "agentic_operator_writes_total" and one.value]

    async def quiet(self) -> bool:
        """Whether nothing waits or runs."""
        return self.engine.queue.quiet


@asynccontextmanager
async def running(
    access: Credentials,
    *controllers: AnyController,
    options: Options | None = None,
    discovery_seconds: float = DISCOVERY_SECONDS,
) -> AsyncIterator[Running]:
    """A synced engine, of the smallest controller if of no other."""
    metrics, stop = OperatorMetrics(), asyncio.Event()
    options = options or Options(observer=metrics.requested)
    async with Cluster(access, options) as cluster:
        engine = Engine(
            cluster,
            controllers=controllers or [TinyController()],
            metrics=metrics,
            discovery_seconds=discovery_seconds,
        )
        task = asyncio.create_task(engine.run(stop))
        waiting = asyncio.create_task(engine.synced.wait())
        try:
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            yield Running(engine, metrics)
        finally:
            waiting.cancel()
            stop.set()
            await asyncio.wait_for(task, PATIENCE)


@dataclass(frozen=True)
class Process:
    """An operator as a process."""

    popen: processes.Program
    port: int
    liveness_port: int

    def alive(self) -> dict[str, bool]:
        """What its liveness endpoint reports."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.liveness_port}/healthz", timeout=10) as response:
            found: dict[str, bool] = json.load(response)
            return found

    def metric(self, pattern: str) -> float:
        """The sum of all samples that match."""
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", self._get("/metrics"), re.MULTILINE))

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return str(response.read().decode())

    async def ready(self) -> bool:
        """Whether it says so."""
        try:
            return self._get("/readyz") == "ok"
        except OSError:
            return False

    async def leads(self) -> bool:
        """Whether it is the leader."""
        try:
            return self.metric("agentic_operator_leader") == 1
        except OSError:
            return False


@contextmanager
def process(plane: ControlPlane, namespace: str, identity: str) -> Iterator[Process]:
    """An operator whose Lease is in `namespace`."""
    port, liveness_port = free_port(), free_port()
    environ = {
        "AGENTIC_KUBECONFIG": str(plane.kubeconfig),
        "AGENTIC_HOST": "127.0.0.1",
        "AGENTIC_PORT": str(port),
        "AGENTIC_LIVENESS_PORT": str(liveness_port),
        "AGENTIC_NAMESPACE": namespace,
        "AGENTIC_IDENTITY": identity,
        "AGENTIC_RUNTIME_IMAGE": "none",
        "AGENTIC_RUN_TOKEN_KEYS": "none",
    }
    with processes.program([sys.executable, "-m", "tests.operator.engine.program"], environ) as popen:
        yield Process(popen, port, liveness_port)


async def settled(user: Cluster, namespace: str, name: str, generation: int = 1) -> None:
    """Wait until the status of an agent is about this generation."""

    async def look() -> bool:
        found = await user.get(AGENT.ref(name, namespace))
        return bool(found and found.get("status", {}).get("observedGeneration") == generation)

    await eventually(look, f"{namespace}/{name} at generation {generation}")


async def prompt(user: Cluster, namespace: str, name: str) -> str | None:
    """What the child of an agent says."""
    found: Object | None = await user.get(CONFIG_MAP.ref(f"prompt-{name}", namespace))
    return found["data"]["prompt"] if found else None
