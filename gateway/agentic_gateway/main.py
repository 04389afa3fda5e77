"""The program `agentic-gateway`: reads the settings, connects to the cluster, serves."""

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import uvloop

from agentic_core import garbage, names, telemetry
from agentic_core.cluster import Cluster, credentials
from agentic_core.settings import load, parser
from agentic_core.web.exposition import exposed
from agentic_core.web.heads import HeadLimits
from agentic_core.web.server import Server, server
from agentic_gateway.app import Gateway, GatewayContext
from agentic_gateway.composition import GatewayParts, running
from agentic_gateway.route.resources import ClusterResources
from agentic_gateway.settings import GatewaySettings


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM, then let open responses end and write all usage."""
    parser("agentic-gateway", "The model gateway of the Agentic Platform.", GatewaySettings).parse_args(arguments)
    settings = load(GatewaySettings)
    telemetry.configure(names.GATEWAY, settings)
    serve(settings, lambda: in_cluster(settings))


@asynccontextmanager
async def in_cluster(settings: GatewaySettings) -> AsyncGenerator[GatewayContext]:
    """The gateway with the resources of the cluster."""
    async with Cluster(credentials.load(settings.kubeconfig)) as cluster:
        resources = ClusterResources(cluster)
        async with (
            resources.watching(),
            running(settings, GatewayParts(resources)) as context,
            exposed(context.metrics.registry, host=settings.host, port=settings.metrics_port),
        ):
            yield context


def serve(settings: GatewaySettings, lifespan: Callable[[], AbstractAsyncContextManager[GatewayContext]]) -> None:
    """Run the server in this process."""
    garbage.spare()
    running_server = make_server(settings, lifespan)
    uvloop.run(running_server.serve())
    sys.exit(running_server.exit_status)


def make_server(
    settings: GatewaySettings, lifespan: Callable[[], AbstractAsyncContextManager[GatewayContext]]
) -> Server:
    """The server with the bounds of the settings."""
    limits = HeadLimits(
        head_bytes=settings.max_header_bytes,
        head_seconds=settings.receive_seconds,
        chunked_bytes=max(HeadLimits.chunked_bytes, 2 * settings.max_request_bytes),
    )
    app: Any = Gateway(lifespan)  # starlette's ASGI types are mutable mappings, its own are dicts
    return server(app, host=settings.host, port=settings.port, shutdown_seconds=settings.drain_seconds, heads=limits)
