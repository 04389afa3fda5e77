"""A proxy before the API server that answers with errors, waits, or breaks connections, when a test says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import orjson
from aiohttp import web

from agentic_core.cluster import Credentials

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def status(code: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as the API server words it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": reason,
    }
    return web.Response(
        status=code, body=orjson.dumps(body), headers={"Content-Type": "application/json"} | (headers or {})
    )


def slow(seconds: float) -> Fault:
    """Every answer comes later by this time; watches are left alone."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if not request.query.get("watch"):
            await asyncio.sleep(seconds)
        return None

    return fault


class Faults:
    """The proxy. `fault` is called with each request; None lets it pass."""

    def __init__(self, upstream: Credentials, session: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._session = session
        self.fault: Fault | None = None
        self.requests: list[str] = []
        """Method and path of each request."""
        self._open: set[web.StreamResponse] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.requests.append(f"{request.method} {request.path_qs}")
        answer = await self.fault(request) if self.fault else None
        return answer if answer is not None else await self._forward(request)

    def break_watches(self) -> None:
        """Cut all streams that are open."""
        for response in self._open:
            transport = response._req.transport if response._req else None
            if transport:
                transport.abort()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key not in ("Host", "Content-Length")}
        headers["Accept-Encoding"] = "identity"  # whether a body is compressed would be lost on the way
        async with self._session.request(
            request.method, self._upstream.server + request.path_qs, headers=headers, data=await request.read() or None
        ) as answer:
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]}
            )
            await response.prepare(request)
            self._open.add(response)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except ConnectionError:
                return response
            finally:
                self._open.discard(response)
            return response


@asynccontextmanager
async def faulty(upstream: Credentials) -> AsyncIterator[tuple[Faults, Credentials]]:
    """A proxy before `upstream`, and the credentials that lead through it."""
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(ssl=upstream.ssl_context(), limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        faults = Faults(upstream, session)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", faults.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            yield faults, replace(upstream, server=f"http://127.0.0.1:{port}", ca=None)
        finally:
            faults.break_watches()
            await asyncio.wait_for(runner.cleanup(), 10)
