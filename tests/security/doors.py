"""Every way by which the programs connect to what tenants write, and a server that counts who connected to it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from agentic_api.runs.lifecycle import runtime_client
from agentic_api.runs.lifecycle.runtime_client import RuntimeClient
from agentic_core.egress import Guard, Lookups
from agentic_crds.model_provider import ModelProviderSpec, ProviderType
from agentic_gateway.call import upstream
from agentic_gateway.call.upstream import AttemptProgress
from agentic_operator.controllers.model_provider.probe import Prober, ProbeTarget
from agentic_runtime.tools.http import EgressPolicy, GuardedHttp

Door = Callable[[str], Awaitable[str]]
"""Calls a URL as its program does; what came of it, for messages of failed assertions."""


@dataclass
class Inside:
    """A server that no tenant may reach."""

    port: int = 0
    connections: int = 0
    location: str = ""
    """Where it redirects to, if anywhere."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count the connection, then respond to one request."""
        self.connections += 1
        status = f"302 Found\r\nlocation: {self.location}" if self.location else "200 OK"
        try:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: 6\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + b"SECRET")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def inside(host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Inside]:
    """The server, on a port of its own."""
    found = Inside()
    async with await asyncio.start_server(found.serve, host, port) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


@asynccontextmanager
async def doors(port: int, *, open_loopback: bool = False) -> AsyncGenerator[dict[str, Door]]:
    """All programs' clients with the settings of production; `open_loopback` as on a developer's machine."""
    guard = Guard(private=False, loopback=open_loopback, foreign_namespace="agentic-system")
    fetch = GuardedHttp(EgressPolicy(allow_private=open_loopback, ports=(80, 443, port)))
    providers = upstream.client(guard, connect=2, silence=5, per_host=10)
    prober = Prober(guard)
    runtimes = runtime_client.client(Guard(private=True, loopback=open_loopback))

    async def http_fetch(url: str) -> str:
        return (await fetch.get(url, max_bytes=1000, seconds=5)).text

    async def gateway(url: str) -> str:
        sending = AttemptProgress()
        async with await providers.request(
            "POST", url, tenant="acme", data=b"{}", trace_request_ctx=sending
        ) as response:
            return await response.text()

    async def probe(url: str) -> str:
        spec = ModelProviderSpec.model_construct(type=ProviderType.OPENAI_COMPATIBLE, base_url=url, models=[])
        result = await prober._probe(ProbeTarget("acme", "uid", spec, "SECRET-KEY"))
        return f"{result.reason}: {result.message}"

    async def api(url: str) -> str:
        async with aclosing(RuntimeClient(runtimes).run(url, b"{}", "token", tenant="acme")) as events:
            return str([event async for event in events])

    try:
        yield {"http_fetch": http_fetch, "gateway": gateway, "probe": probe, "api": api}
    finally:
        await fetch.close()
        await providers.close()
        await prober.close()
        await runtimes.close()


async def outcome(door: Door, url: str) -> str:
    """What came of a call, errors included."""
    try:
        return await door(url)
    except Exception as error:  # noqa: BLE001 - whatever a client raises
        return f"{type(error).__name__}: {getattr(error, 'message', error)}"


class Names(Lookups):
    """Host names with the addresses that the test writes down."""

    def __init__(self, **addresses: str) -> None:
        super().__init__()
        self.known = {name.replace("_", "."): address for name, address in addresses.items()}

    async def addresses(self, host: str, *, tenant: str) -> list[str]:
        """The address; an error of the test's for any other name."""
        return [self.known[host]]
