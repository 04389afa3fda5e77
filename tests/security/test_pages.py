"""Pages of strangers that cost more than they are long: their charsets and compression hold up no other run."""

import asyncio
import gzip
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentic_runtime.tools.base import FetchedPage
from agentic_runtime.tools.http import CHARSETS, EgressPolicy, GuardedHttp
from tests.requirements import requirement

MAX_BYTES = 256 * 1024
MAX_LAG = 0.5
"""Seconds that the event loop may be blocked on a busy machine; a chunk of the worst charset took 0.07 s there."""
NO_CHARSETS = [
    *("punycode", "idna", "unicode_escape", "unicode-escape", "raw_unicode_escape", "utf-7", "utf_7", "rot13", "hex"),
    *("base64", "uu", "uu_codec", "zlib", "bz2", "quopri", "hz", "iso2022_jp", "iso-2022-kr", "undefined", "mbcs"),
]
"""Codecs of Python that are no charsets of pages, or that decode by state."""
PUNYCODE = "\U00010000".encode("punycode")
WORST = {
    "punycode": PUNYCODE + b"a" * (MAX_BYTES - len(PUNYCODE)),
    "invalid": b"\xff" * MAX_BYTES,
    "lead bytes": b"\x81" * MAX_BYTES,
    "four bytes": b"\x81\x30" * (MAX_BYTES // 2),
    "random": random.Random(1).randbytes(MAX_BYTES),
    "escapes": (b"\\N{DIGIT ONE}\x1b$B" * MAX_BYTES)[:MAX_BYTES],
}


class Page:
    """A web server with one page."""

    port = 0
    headers = ""
    body = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send the page, however little of it is read."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            length = f"content-length: {len(self.body)}\r\nconnection: close"
            writer.write(f"HTTP/1.1 200 OK\r\n{self.headers}\r\n{length}\r\n\r\n".encode() + self.body)
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def page() -> AsyncGenerator[Page]:
    """The server, on a port of its own."""
    found = Page()
    async with await asyncio.start_server(found.serve, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


async def fetched(served: Page) -> tuple[FetchedPage, float]:
    """The page, and for how long the event loop was blocked at most."""
    http = GuardedHttp(EgressPolicy(allow_private=True, ports=(served.port,)))
    lag = 0.0

    async def watch() -> None:
        nonlocal lag
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            lag = max(lag, time.perf_counter() - begun - 0.005)

    watching = asyncio.create_task(watch())
    try:
        return await http.get(f"http://127.0.0.1:{served.port}/", max_bytes=MAX_BYTES, seconds=60), lag
    finally:
        watching.cancel()
        await http.close()


@requirement("input-sanitization")
@pytest.mark.parametrize("charset", [*NO_CHARSETS, *sorted(CHARSETS)])
async def test_no_charset_of_a_page_blocks_the_event_loop(charset: str) -> None:
    async with page() as served:
        for what, body in WORST.items():
            served.headers, served.body = f"content-type: text/plain; charset={charset}", body
            found, lag = await fetched(served)
            assert lag < MAX_LAG, (charset, what)
            assert 0 < len(found.text) <= len(body)
            if charset in NO_CHARSETS:
                assert found.text == body.decode(errors="replace")


@pytest.mark.parametrize("charset", sorted(CHARSETS))
async def test_pages_are_read_in_the_charsets_of_the_web(charset: str) -> None:
    """Characters that lie across two chunks included."""
    letters = {"koi8-r": "Я", "koi8-u": "Я", "gb2312": "中", "gbk": "中", "gb18030": "中", "big5": "中"}
    letter = letters.get(charset, {"euc-jp": "あ", "shift-jis": "あ", "euc-kr": "한"}.get(charset, "a"))
    text = "x" + letter * 20_000
    async with page() as served:
        served.headers = f"content-type: text/plain; charset={charset.upper()}"
        served.body = text.encode("utf-16le" if charset == "utf-16" else charset)
        found, _ = await fetched(served)
    assert (found.text, found.truncated) == (text, False)


@requirement("input-sanitization")
async def test_a_packed_page_is_unpacked_as_far_as_it_is_read() -> None:
    async with page() as served:
        served.headers = "content-type: text/plain\r\ncontent-encoding: gzip"
        served.body = gzip.compress(bytes(64 * 1024 * 1024))
        before = _peak()
        found, lag = await fetched(served)
        assert (len(found.text), found.truncated) == (MAX_BYTES, True)
        assert _peak() - before < 16 * 1024 * 1024
        assert lag < MAX_LAG


def _peak() -> int:
    """Most memory in bytes that the process has held."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
