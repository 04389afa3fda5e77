"""The guarded way out: fetches a public URL for a tool and never reaches an address inside. `ToolContext.http`.

`agentic_core.egress` resolves names and checks each address before a socket is opened to exactly that address.
Redirects are followed by hand, so that every hop is checked alike.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp

from agentic_core.egress import ForbiddenAddress, Guard, GuardedResolver
from agentic_runtime.tools.base import FetchedPage, ToolFailed

MAX_REDIRECTS = 5
MAX_URL = 2048
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DEFAULT_PORTS = {"http": 80, "https": 443}
TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript", "application/x-ndjson")
TEXT_SUFFIXES = ("+json", "+xml", "yaml", "csv")


@dataclass(frozen=True)
class EgressPolicy:
    """Where tools may connect to."""

    allow_private: bool = False
    ports: tuple[int, ...] = (80, 443)


class GuardedHttp:
    """Fetches public URLs. Open one per program, inside the event loop, and close it."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._guard = Guard(private=policy.allow_private, loopback=policy.allow_private)
        # A connection is used once: a kept one would outlive the check of its address.
        connector = aiohttp.TCPConnector(resolver=GuardedResolver(self._guard), use_dns_cache=False, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "agentic-http-fetch/1", "Accept": "text/*, application/json;q=0.9, */*;q=0.1"},
        )

    async def close(self) -> None:
        """Release the sockets."""
        await self._session.close()

    async def get(self, url: str, *, max_bytes: int, seconds: float) -> FetchedPage:
        """The text behind a URL; `ToolFailed` when it may not or cannot be read."""
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(url, max_bytes)
        except TimeoutError:
            raise ToolFailed(f"The URL did not respond within {seconds:g} s.") from None
        except aiohttp.ClientConnectorError as error:
            raise ToolFailed(_connect_failure(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ToolFailed(f"The URL could not be read: {type(error).__name__}.") from None

    async def _follow(self, url: str, max_bytes: int) -> FetchedPage:
        for _ in range(MAX_REDIRECTS + 1):
            self._check(url)
            async with self._session.get(url, allow_redirects=False) as response:
                target = response.headers.get("Location")
                if response.status not in REDIRECTS or not target:
                    return await _read(response, url, max_bytes)
                url = urljoin(url, target)
        raise ToolFailed(f"The URL redirects more than {MAX_REDIRECTS} times.")

    def _check(self, url: str) -> None:
        """Refuses a URL by its looks, addresses written out included: those never reach the resolver."""
        parts = _split(url)
        if parts.scheme not in DEFAULT_PORTS:
            raise ToolFailed("Only http and https URLs can be fetched.")
        if parts.username is not None or parts.password is not None:
            raise ToolFailed("A URL with credentials is not fetched.")
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        if port not in self._policy.ports:
            raise ToolFailed(f"Port {port} is not allowed; allowed are {', '.join(map(str, self._policy.ports))}.")
        try:
            self._guard.refuse_url(url)
        except ForbiddenAddress as error:
            raise ToolFailed(f"The URL may not be fetched: {error}, which tools may not reach.") from None


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL or any(character <= " " or character in "\\\x7f" for character in url):
        raise ToolFailed("Not a URL: too long, or with blanks, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            raise ToolFailed("Not a URL with a host.")
    except ValueError:
        raise ToolFailed("Not a URL.") from None
    return parts


async def _read(response: aiohttp.ClientResponse, url: str, max_bytes: int) -> FetchedPage:
    kind = response.content_type
    if not kind.startswith(TEXT_TYPES) and not kind.endswith(TEXT_SUFFIXES):
        raise ToolFailed(f"The URL returned {kind}, which is not text.")
    body = bytearray()
    async for chunk in response.content.iter_chunked(16384):
        body += chunk
        if len(body) > max_bytes:
            break
    text = bytes(body[:max_bytes]).decode(_charset(response), errors="replace")
    return FetchedPage(url=url, status=response.status, content_type=kind, text=text, truncated=len(body) > max_bytes)


def _charset(response: aiohttp.ClientResponse) -> str:
    try:
        "".encode(response.charset or "utf-8")
    except LookupError:
        return "utf-8"
    return response.charset or "utf-8"


def _connect_failure(error: aiohttp.ClientConnectorError) -> str:
    refused = error.os_error
    if isinstance(refused, ForbiddenAddress):
        return f"The URL may not be fetched: {refused}, which tools may not reach."
    return f"The URL could not be connected to: {refused.strerror or type(refused).__name__}."
