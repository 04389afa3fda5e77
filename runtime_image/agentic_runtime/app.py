"""The ASGI application of the agent server: runs, two probes, metrics. `main` and tests make it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agentic_core import telemetry
from agentic_core.contract import KEEPALIVE_SECONDS, RUN_PATH
from agentic_core.web.linger import Lingering
from agentic_runtime.endpoint import RunEndpoint
from agentic_runtime.lazy import LazyLoop
from agentic_runtime.metrics import RuntimeMetrics
from agentic_runtime.runs import ActiveRuns
from agentic_runtime.settings import RuntimeSettings

log = telemetry.logger(__name__)


@dataclass(frozen=True)
class RuntimeServer:
    """The application and what its owner drains."""

    app: Starlette
    runs: ActiveRuns


def create_server(settings: RuntimeSettings, *, keepalive_seconds: float = KEEPALIVE_SECONDS) -> RuntimeServer:
    """The application. Call it inside the event loop that serves it."""
    metrics = RuntimeMetrics()
    runs = ActiveRuns(settings.max_concurrent_runs, metrics)
    loop = LazyLoop(settings, metrics)
    endpoint = RunEndpoint(settings, loop, runs=runs, keepalive_seconds=keepalive_seconds)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse("draining", status_code=503) if runs.draining else PlainTextResponse("ok")

    async def show_metrics(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    routes = [
        Route(RUN_PATH, Lingering(endpoint), methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", show_metrics),
    ]
    return RuntimeServer(app=Starlette(routes=routes, lifespan=lambda _app: _lifespan(loop)), runs=runs)


@asynccontextmanager
async def _lifespan(loop: LazyLoop) -> AsyncGenerator[None]:
    warming = asyncio.create_task(_warm(loop))
    yield
    warming.cancel()
    with suppress(asyncio.CancelledError):
        await warming
    await loop.close()


async def _warm(loop: LazyLoop) -> None:
    try:
        await loop.warm()
    except Exception:
        log.exception("warming failed; the first run will try again")
