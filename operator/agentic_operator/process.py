"""The operator's process as Kopf runs it: login, start-up, liveness, signals and shutdown. `main` starts it.

Kopf calls `_start` before anything else, and `_stop` after a signal or after the engine has ended; it serves the
liveness endpoint and checks once that it can log in to the API server and discover its kinds. It watches nothing.
"""

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
from aiohttp import web

from agentic_core import telemetry
from agentic_core.cluster import Credentials
from agentic_core.cluster.credentials import Bearer
from agentic_core.tasks import cancel, first_of
from agentic_operator.engine import probes
from agentic_operator.engine.engine import Engine
from agentic_operator.engine.leader import LeaderLease, LeadershipLost
from agentic_operator.engine.metrics import OperatorMetrics
from agentic_operator.settings import OperatorSettings

TOKEN_LIFETIME = timedelta(minutes=5)
PERMANENT = kopf.ErrorsMode.PERMANENT
"""By default Kopf retries start-up and shutdown for ever; Kubernetes restarts the process instead."""

log = telemetry.logger(__name__)


class OperatorProcess:
    """One process: it serves the probes, waits for leadership, and runs the engine until a signal.

    Invariants: the engine runs only while the lease is held; the process exits at once when the lease is lost; the
    lease is released only after the engine has ended.
    """

    def __init__(
        self,
        settings: OperatorSettings,
        credentials: Credentials,
        *,
        lease: LeaderLease,
        engine: Engine,
        metrics: OperatorMetrics,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._bearer = Bearer(credentials)
        self._lease = lease
        self._engine = engine
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: web.AppRunner | None = None
        metrics.leader.set_function(lambda: float(lease.may_write()))

    async def run(self) -> None:
        """Run until a signal. Raises what ended the engine otherwise."""
        logging.getLogger("kopf").setLevel(logging.WARNING)
        await kopf.operator(
            registry=self._registry(),
            settings=_kopf_settings(),
            clusterwide=True,
            standalone=True,
            liveness_endpoint=_url(self._settings.host, self._settings.liveness_port),
            stop_flag=self._ended,
        )
        for task in self._tasks:
            if not task.cancelled():
                task.result()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, id="login")(self._login)
        kopf.on.startup(registry=registry, id="start", errors=PERMANENT)(self._start)
        kopf.on.cleanup(registry=registry, id="stop", errors=PERMANENT)(self._stop)
        kopf.on.probe(registry=registry, id="leader")(self._probe_leader)
        kopf.on.probe(registry=registry, id="synced")(self._probe_synced)
        return registry

    async def _start(self, **_: Any) -> None:
        self._server = await probes.serve(
            self._metrics, host=self._settings.host, port=self._settings.port, ready=self._is_ready
        )
        leading = asyncio.create_task(self._lead())
        leading.add_done_callback(lambda _: self._ended.set())
        self._tasks = [leading, asyncio.create_task(self._metrics.measure_lag())]

    async def _stop(self, **_: Any) -> None:
        """Reconciles in flight finish, within the engine's grace period."""
        self._stopping.set()
        if self._tasks:
            leading, *others = self._tasks
            await asyncio.wait([leading])
            await cancel(others)
        await self._lease.release()
        if self._server:
            await self._server.cleanup()

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        credentials = self._credentials
        return kopf.ConnectionInfo(
            server=credentials.server,
            ca_data=credentials.ca,
            insecure=not credentials.verify,
            certificate_data=credentials.certificate,
            private_key_data=credentials.private_key,
            token=self._bearer.token(),
            expiration=datetime.now(UTC) + TOKEN_LIFETIME if credentials.token_file else None,
        )

    async def _probe_leader(self, **_: Any) -> bool:
        return self._lease.may_write()

    async def _probe_synced(self, **_: Any) -> bool:
        return self._engine.synced.is_set()

    def _is_ready(self) -> bool:
        """A stand-by is ready as well."""
        return self._engine.synced.is_set() or not self._lease.may_write()

    async def _lead(self) -> None:
        """Wait for the lease, then run the engine until `_stopping` is set."""
        stopped = asyncio.create_task(_wait(self._stopping))
        acquiring = asyncio.create_task(self._lease.acquire())
        tasks = [stopped, acquiring]
        try:
            await first_of(tasks)
            if not self._stopping.is_set():
                tasks += [holding := asyncio.create_task(self._lease.hold())]
                tasks += [converging := asyncio.create_task(self._engine.run(self._stopping))]
                await first_of([holding, converging])
        except LeadershipLost as lost:
            _exit(lost)
        finally:
            await cancel(tasks)


def _exit(lost: LeadershipLost) -> None:
    """End the process at once: nothing in flight may be finished, and the next leader does it again."""
    log.error("leadership lost", reason=str(lost))
    logging.shutdown()
    sys.stderr.flush()
    os._exit(1)


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    return settings


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/healthz"


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
