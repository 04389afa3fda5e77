"""HTTP to one API server: one session, typed errors, retries, and the fence before each write.

Only the client and the watches use it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import orjson

from agentic_core.cluster import errors, responses
from agentic_core.cluster.credentials import Bearer, Credentials
from agentic_core.cluster.kinds import Object

Observer = Callable[[str, str, int], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the client behaves."""

    timeout: float = 30.0
    """Seconds for one attempt, connecting included."""
    attempts: int = 5
    """How often a request that may be retried is sent."""
    connections: int = 100
    page_size: int = 500
    """Maximum number of objects in one page of a list."""
    may_write: Callable[[], bool] = field(default=lambda: True)
    """Called right before each write is sent; False raises Fenced."""
    observer: Observer = field(default=lambda _verb, _kind, _status: None)
    """Called with verb, kind and HTTP status of each attempt; the status is 0 when there was no response."""


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    """One call of the API."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    verb: str
    """What the call means, for metrics."""
    kind: str = ""
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _fenced(may_write: Callable[[], bool]) -> type[aiohttp.ClientRequest]:
    class FencedRequest(aiohttp.ClientRequest):
        """Checks the permission once the connection is open. Invariant: no await between the check and the write."""

        async def send(self, conn: Any) -> aiohttp.ClientResponse:
            if self.method != "GET" and not may_write():
                conn.close()
                raise errors.Fenced(
                    f"{self.method} {self.url.path}: this process is not the leader any more, so nothing is written"
                )
            return await super().send(conn)

    return FencedRequest


class Transport:
    """The connections to one API server."""

    def __init__(self, credentials: Credentials, options: Options) -> None:
        self._credentials = credentials
        self._options = options
        self._bearer = Bearer(credentials)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    def open(self, request: ApiRequest, *, silence: float | None = None) -> Any:
        """The response as an async context manager. With `silence` it may last for ever, but so many seconds without a
        byte mean that the connection is dead."""
        if self._session is None:
            self._session = self._connect()
        timeout = (
            aiohttp.ClientTimeout(total=None, connect=self._options.timeout, sock_read=silence) if silence else None
        )
        return self._session.request(
            request.method,
            self._credentials.server + request.path,
            params=request.params,
            data=orjson.dumps(request.body) if request.body is not None else None,
            headers={"Content-Type": "application/json", **request.headers, **self._bearer.header()},
            timeout=timeout or aiohttp.ClientTimeout(total=self._options.timeout),
            allow_redirects=False,
        )

    def _connect(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._options.connections, ssl=self._credentials.ssl_context()),
            request_class=_fenced(self._options.may_write),
            headers={"User-Agent": "agentic-platform", "Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def call(self, request: ApiRequest) -> Object:
        """The JSON response; retried after 429, 5xx and broken connections, with growing pauses."""
        failures = 0
        while True:
            try:
                return await self._attempt(request)
            except errors.ClusterError as failure:
                failures += 1
                pause = self._pause(request, failure, failures)
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    def _pause(self, request: ApiRequest, failure: errors.ClusterError, failures: int) -> float | None:
        if failures >= self._options.attempts:
            return None
        if isinstance(failure, errors.Unauthorized):
            return 0 if failures == 1 and self._bearer.expire() else None
        if request.method == "POST" and isinstance(failure, errors.Unreachable):
            return (
                None  # it may have been carried out: a second one would create another object or a misleading conflict
            )
        return responses.pause(failure, failures)

    async def _attempt(self, request: ApiRequest) -> Object:
        status = 0
        try:
            async with self.open(request) as response:
                status = response.status
                body: bytes = await response.read()
                check(response, body, request)
                found: Object = orjson.loads(body)
                return found
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            status = 0
            server, reason = self._credentials.server, type(failure).__name__
            raise errors.Unreachable(f"{request}: no response from {server} ({reason})") from failure
        finally:
            self._options.observer(request.verb, request.kind, status)


def check(response: aiohttp.ClientResponse, body: bytes, request: ApiRequest) -> None:
    """Raise the error of a response that is one."""
    if response.status >= 400:
        raise responses.error(
            response.status, body, request=str(request), retry_after=response.headers.get("Retry-After")
        )
