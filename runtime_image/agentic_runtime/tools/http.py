"""The HTTP client of tools, `ToolContext.http`: it fetches public URLs and reaches no address inside the cluster.

`agentic_core.egress` checks each URL, and each address before a socket is opened to exactly that address. Redirects are
followed by hand, so that every hop is checked alike.
"""

import asyncio
import codecs
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp

from agentic_core.egress import Guard, GuardedClient, InvalidUrl, Lookups, refusal
from agentic_runtime.tools.base import FetchedPage, ToolFailed

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CHUNK_BYTES = 4 * 1024
CHARSETS = frozenset(
    {
        *("utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "us-ascii", "ascii", "latin1", "latin-1"),
        *(f"iso-8859-{part}" for part in (*range(1, 12), *range(13, 17))),
        *(f"windows-{page}" for page in range(1250, 1259)),
        *("koi8-r", "koi8-u", "big5", "gb2312", "gbk", "gb18030", "euc-jp", "euc-kr", "shift-jis"),
    }
)
"""Charsets of web pages, by names that Python's codecs have too. Python has other codecs that are no charsets, or that
take time quadratic in the length of the text."""
TENANT = "runtime"
"""A pod runs agents of one tenant, so all lookups are at the expense of the same one."""
TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript", "application/x-ndjson")
TEXT_SUFFIXES = ("+json", "+xml", "yaml", "csv")


@dataclass(frozen=True)
class EgressPolicy:
    """Where tools may connect to."""

    allow_private: bool = False
    ports: tuple[int, ...] = (80, 443)


class GuardedHttp:
    """Fetches public URLs. Open one per program, inside the event loop, and close it."""

    def __init__(self, policy: EgressPolicy, *, lookups: Lookups | None = None) -> None:
        self._client = GuardedClient(
            Guard(private=policy.allow_private, loopback=policy.allow_private, ports=frozenset(policy.ports)),
            lookups=lookups,
            headers={"User-Agent": "agentic-http-fetch/1", "Accept": "text/*, application/json;q=0.9, */*;q=0.1"},
            decompress=True,
        )

    async def close(self) -> None:
        """Release the sockets."""
        await self._client.close()

    async def get(self, url: str, *, max_bytes: int, seconds: float) -> FetchedPage:
        """The text behind a URL; `ToolFailed` when it may not or cannot be read."""
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(url, max_bytes)
        except TimeoutError:
            raise ToolFailed(f"The URL did not respond within {seconds:g} s.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ToolFailed(_failure(error)) from None

    async def _follow(self, url: str, max_bytes: int) -> FetchedPage:
        for _ in range(MAX_REDIRECTS + 1):
            async with await self._client.request("GET", url, tenant=TENANT) as response:
                target = response.headers.get("Location")
                if response.status not in REDIRECTS or not target:
                    return await _read(response, url, max_bytes)
                url = urljoin(url, target)
        raise ToolFailed(f"The URL redirects more than {MAX_REDIRECTS} times.")


async def _read(response: aiohttp.ClientResponse, url: str, max_bytes: int) -> FetchedPage:
    """The text, decoded chunk by chunk, so that no page holds the event loop longer than one chunk takes."""
    kind = response.content_type
    if not kind.startswith(TEXT_TYPES) and not kind.endswith(TEXT_SUFFIXES):
        raise ToolFailed(f"The URL returned {kind}, which is not text.")
    decoder = codecs.getincrementaldecoder(_charset(response.charset))(errors="replace")
    parts, size = list[str](), 0
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        parts.append(decoder.decode(chunk[: max_bytes - size]))
        size += len(chunk)
        if size > max_bytes:
            break
        await asyncio.sleep(0)
    text = "".join(parts) + decoder.decode(b"", final=True)
    return FetchedPage(url=url, status=response.status, content_type=kind, text=text, truncated=size > max_bytes)


def _charset(name: str | None) -> str:
    """The codec of a page: the one it names, if that is a charset of the web, else UTF-8."""
    name = (name or "utf-8").lower().replace("_", "-")
    if name == "utf-16":
        return "utf-16le"  # as browsers do; Python's own decoder of this name refuses text without a byte order mark
    return name if name in CHARSETS else "utf-8"


def _failure(error: Exception) -> str:
    refused = refusal(error)
    if isinstance(refused, InvalidUrl):
        message = str(refused)
        return f"{message[0].upper()}{message[1:]}."
    if refused:
        return f"The URL may not be fetched: {refused}, which tools may not reach."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "The host name of the URL cannot be resolved."
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"The URL could not be connected to: {error.os_error.strerror or type(error.os_error).__name__}."
    return f"The URL could not be read: {type(error).__name__}."
