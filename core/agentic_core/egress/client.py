"""The HTTP client for URLs that tenants write, and the connector that decides on the address of each socket.

Each program opens one per purpose. Nothing else in the project connects to such a URL; a lint holds that.
"""

import socket
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from agentic_core.egress.guard import ForbiddenAddress, Guard
from agentic_core.egress.lookups import Lookups
from agentic_core.egress.urls import InvalidUrl

_tenant: ContextVar[str] = ContextVar("tenant")
"""Whose request is being connected: aiohttp calls the resolver within the request's own task."""


class GuardedClient:
    """Calls URLs that tenants write: no cookies, no proxies, no redirects.

    Invariants: the URL that is checked is the object that aiohttp connects to; each new socket is checked by its own
    address, whatever came before; a host name is resolved at the expense of the request's tenant.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        lookups: Lookups | None = None,
        max_connections: int = 0,
        per_host: int = 0,
        keep_seconds: float = 0,
        timeout: aiohttp.ClientTimeout | None = None,
        headers: Mapping[str, str] | None = None,
        decompress: bool = False,
        receive_bytes: int = 0,
        traces: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        """Open it inside the event loop. A bound of 0 is none; with `keep_seconds` 0 a connection is used once.

        The kernel keeps up to `receive_bytes` of a response that nobody reads; by itself it would keep megabytes.
        """
        self._receive_bytes = receive_bytes
        self._guard = guard
        self._lookups = lookups or Lookups()
        keep: dict[str, Any] = {"keepalive_timeout": keep_seconds} if keep_seconds else {"force_close": True}
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(guard, self._lookups),
            use_dns_cache=False,
            socket_factory=self._socket,
            limit=max_connections,
            limit_per_host=per_host,
            **keep,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=timeout or aiohttp.ClientTimeout(total=None),
            headers=headers,
            auto_decompress=decompress,
            trace_configs=list(traces),
        )

    async def request(self, method: str, url: str, *, tenant: str, **options: Any) -> aiohttp.ClientResponse:
        """The response; its body is read from the connection, so use it as a context manager or release it.

        Where the URL may not be called it raises an error for which `refusal` is not None. `options` are those of
        `aiohttp.ClientSession.request`.
        """
        target = self._guard.check_url(url)
        token = _tenant.set(tenant)
        try:
            return await self._session.request(method, target, allow_redirects=False, **options)
        finally:
            _tenant.reset(token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Release connections and lookups."""
        await self._session.close()
        await self._lookups.close()

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """The socket for an address: the last moment before it is connected to."""
        family, kind, protocol, _, address = info
        self._guard.refuse(str(address[0]))
        made = socket.socket(family=family, type=kind, proto=protocol)
        if self._receive_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        return made


def refusal(error: BaseException) -> InvalidUrl | ForbiddenAddress | None:
    """Why the URL of a request may not be called; None when it failed otherwise. aiohttp wraps a connector's errors."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return cause if isinstance(cause, InvalidUrl | ForbiddenAddress) else None


class _GuardedResolver(AbstractResolver):
    """Resolves names to addresses that may be connected to; one that is forbidden forbids the name."""

    def __init__(self, guard: Guard, lookups: Lookups) -> None:
        self._guard = guard
        self._lookups = lookups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._lookups.addresses(host, tenant=_tenant.get())
        for address in found:
            self._guard.refuse(address, said=f"{host} resolves to")
        return [_result(host, address, port) for address in found]

    async def close(self) -> None:
        """The client closes the lookups."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)
