"""HTTP to one API server: one session, typed errors, repeated attempts, and the fence before each write.

Only the client and the watches use it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import orjson

from agentic_core.cluster import answers, errors
from agentic_core.cluster.credentials import Bearer, Credentials
from agentic_core.cluster.kinds import Object

Observer = Callable[[str, str, int], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the client behaves."""

    timeout: float = 30.0
    """Seconds for one attempt, connecting included."""
    attempts: int = 5
    """How often a request that may be repeated is sent."""
    connections: int = 100
    may_write: Callable[[], bool] = field(default=lambda: True)
    """Asked right before each write leaves; False raises Fenced."""
    observer: Observer = field(default=lambda _verb, _kind, _answer: None)
    """Told the verb, the kind and the answer of each attempt; 0 stands for no answer."""


@dataclass(frozen=True, kw_only=True)
class Request:
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
        """Asks once the connection stands: no wait lies between the permission and the write."""

        async def send(self, conn: Any) -> aiohttp.ClientResponse:
            if self.method != "GET" and not may_write():
                conn.close()
                raise errors.Fenced(f"{self.method} {self.url.path}: not the leader any more, so nothing is written")
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

    def open(self, request: Request, *, silence: float | None = None) -> Any:
        """The answer as an async context manager. With `silence` it has no end, but so many seconds without a byte
        mean that the connection is dead."""
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

    async def call(self, request: Request) -> Object:
        """The JSON answer; repeated after 429, 5xx and broken connections, with growing pauses."""
        attempt = 0
        while True:
            try:
                return await self._attempt(request)
            except errors.ClusterError as failure:
                attempt += 1
                wait = self._pause(request, failure, attempt)
                if wait is None:
                    raise
                await asyncio.sleep(wait)

    def _pause(self, request: Request, failure: errors.ClusterError, attempt: int) -> float | None:
        if attempt >= self._options.attempts:
            return None
        if isinstance(failure, errors.Unauthorized):
            return 0 if attempt == 1 and self._bearer.expire() else None
        if request.method == "POST" and isinstance(failure, errors.Unreachable):
            return None  # it may have been done: a second one would be a second object or a misleading conflict
        return answers.pause(failure, attempt)

    async def _attempt(self, request: Request) -> Object:
        answer = 0
        try:
            async with self.open(request) as response:
                answer = response.status
                body: bytes = await response.read()
                check(response, body, request)
                found: Object = orjson.loads(body)
                return found
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            answer = 0
            server, reason = self._credentials.server, type(failure).__name__
            raise errors.Unreachable(f"{request}: no answer from {server} ({reason})") from failure
        finally:
            self._options.observer(request.verb, request.kind, answer)


def check(response: aiohttp.ClientResponse, body: bytes, request: Request) -> None:
    """Raise the error that the answer stands for, if it is one."""
    if response.status >= 400:
        raise answers.error(
            response.status, body, request=str(request), retry_after=response.headers.get("Retry-After")
        )
