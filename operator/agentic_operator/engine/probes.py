"""`/metrics` and `/readyz` of the operator; its process serves them. Kopf serves `/healthz` on a port of its own."""

from collections.abc import Callable

from aiohttp import web

from agentic_operator.engine.metrics import OperatorMetrics


async def serve(metrics: OperatorMetrics, *, host: str, port: int, ready: Callable[[], bool]) -> web.AppRunner:
    """Start the server. It responds as long as the event loop runs."""

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ok") if ready() else web.Response(status=503, text="not synchronised yet")

    app = web.Application()
    app.router.add_get("/metrics", exposition)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
