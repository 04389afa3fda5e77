"""The program `agentic-gateway`: reads the settings, connects to the cluster, serves."""

import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from agentic_core import garbage, names, telemetry
from agentic_core.cluster import Cluster, credentials
from agentic_core.web.exposition import exposed
from agentic_gateway.app import Context, Gateway
from agentic_gateway.composition import running
from agentic_gateway.protocol import bounded
from agentic_gateway.route.resources import ClusterResources
from agentic_gateway.settings import GatewaySettings

KEEP_ALIVE_SECONDS = 75
"""Longer than callers keep their connections, so that it is they who close them."""


def main() -> None:
    """Serve until SIGTERM, then let open answers end and write all usage."""
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - from the environment
    telemetry.configure(names.GATEWAY, settings)
    serve(settings, lambda: in_cluster(settings))


@asynccontextmanager
async def in_cluster(settings: GatewaySettings) -> AsyncGenerator[Context]:
    """The gateway with the resources of the cluster."""
    async with Cluster(credentials.load(settings.kubeconfig)) as cluster:
        resources = ClusterResources(cluster)
        async with (
            resources.watching(),
            running(settings, resources) as context,
            exposed(context.metrics.registry, host=settings.host, port=settings.metrics_port),
        ):
            yield context


class Server(uvicorn.Server):
    """Uvicorn that ends by itself after a signal; by itself it ends by the signal, and nobody sends the last spans."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal handlers."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(settings: GatewaySettings, lifespan: Callable[[], AbstractAsyncContextManager[Context]]) -> None:
    """Run the server in this process."""
    garbage.spare()
    app: Any = Gateway(lifespan)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=bounded(settings.max_header_bytes, seconds=settings.receive_seconds),
        ws="none",
        interface="asgi3",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    server = Server(config)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)
