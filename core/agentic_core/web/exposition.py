"""`/metrics` in Prometheus' text format, on a port of its own; the composition of the api and the gateway open it.

Tenants' pods reach the ports that serve requests. What all tenants do together is for the platform's monitoring alone.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest


@asynccontextmanager
async def exposed(registry: CollectorRegistry, *, host: str, port: int) -> AsyncGenerator[None]:
    """Show the metrics of the registry inside the block."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", show)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
