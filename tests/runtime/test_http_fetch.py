"""The tool http_fetch against a real server: what it reads, and where it never connects."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from agentic_core.egress import Lookups
from agentic_runtime.tools.base import FetchedPage, ToolContext, ToolFailed
from agentic_runtime.tools.http import EgressPolicy, GuardedHttp
from agentic_runtime.tools.http_fetch import HttpFetchInput, http_fetch
from tests.requirements import requirement
from tests.runtime.provider import serving
from tests.support.dns import name_server


@dataclass
class Site:
    """A web site that remembers its visitors."""

    url: str = ""
    hosts: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def page(self, request: Request) -> Response:
        self.hosts.append(request.headers["host"])
        kind = request.path_params["kind"]
        if kind == "redirect":
            return RedirectResponse(request.query_params["to"])
        if kind == "loop":
            return RedirectResponse("/loop")
        if kind == "endless":
            return StreamingResponse(endless(), media_type="text/plain")
        if kind == "silent":
            await asyncio.Event().wait()
        if kind == "image":
            return Response(b"\x89PNG", media_type="image/png")
        if kind == "latin1":
            return Response("é".encode("latin-1"), headers={"content-type": "text/plain; charset=latin-1"})
        if kind == "nonsense":
            return Response(b"\xff", headers={"content-type": "text/plain; charset=nonsense"})
        if kind == "json":
            return JSONResponse({"ok": True, "cookie": request.headers.get("cookie")})
        return PlainTextResponse("Hello", status_code=404 if kind == "missing" else 200)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536
        await asyncio.sleep(0)


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    memory = Site()
    async with serving(Starlette(routes=[Route("/{kind}", memory.page)])) as url:
        memory.url = url
        yield memory


@asynccontextmanager
async def guarded(*, lookups: Lookups | None = None, **policy: Any) -> AsyncGenerator[GuardedHttp]:
    http = GuardedHttp(EgressPolicy(**policy), lookups=lookups)
    try:
        yield http
    finally:
        await http.close()


async def fetch(site: Site, path: str, *, seconds: float = 5, max_bytes: int = 1000) -> FetchedPage:
    async with guarded(allow_private=True, ports=(site.port,)) as http:
        return await http.get(f"{site.url}{path}", max_bytes=max_bytes, seconds=seconds)


async def refusal(url: str, **policy: Any) -> str:
    async with guarded(**policy) as http:
        with pytest.raises(ToolFailed) as raised:
            await http.get(url, max_bytes=1000, seconds=5)
    return raised.value.message


async def test_the_tool_answers_with_the_text(site: Site) -> None:
    async with guarded(allow_private=True, ports=(site.port,)) as http:
        context = ToolContext(deadline=asyncio.get_running_loop().time() + 60, http=http)
        text = await http_fetch(HttpFetchInput(url=f"{site.url}/page"), context)
        long = await http_fetch(HttpFetchInput(url=f"{site.url}/endless"), context)
    assert text == f"{site.url}/page answered 200 (text/plain)\n\nHello"
    assert long.endswith("[cut after 262144 bytes]")


async def test_the_tool_ends_before_the_run_must(site: Site) -> None:
    async with guarded(allow_private=True, ports=(site.port,)) as http:
        context = ToolContext(deadline=asyncio.get_running_loop().time() + 0.3, http=http)
        with pytest.raises(ToolFailed, match=r"within 0\."):
            await http_fetch(HttpFetchInput(url=f"{site.url}/silent"), context)


@pytest.mark.parametrize(
    ("path", "text"),
    [("/page", "Hello"), ("/json", '{"ok":true,"cookie":null}'), ("/latin1", "é"), ("/nonsense", "\ufffd")],
)
async def test_text_is_read(path: str, text: str, site: Site) -> None:
    page = await fetch(site, path)
    assert (page.status, page.text, page.truncated) == (200, text, False)


async def test_a_missing_page_is_an_answer(site: Site) -> None:
    assert (await fetch(site, "/missing")).status == 404


async def test_redirects_are_followed(site: Site) -> None:
    page = await fetch(site, f"/redirect?to={site.url}/page")
    assert (page.url, page.text) == (f"{site.url}/page", "Hello")


async def test_bytes_are_bounded(site: Site) -> None:
    page = await fetch(site, "/endless", max_bytes=100_000)
    assert (len(page.text), page.truncated) == (100_000, True)


@pytest.mark.parametrize(
    ("path", "message"),
    [("/loop", "redirects more than 5 times"), ("/image", "image/png, which is not text"), ("/silent", "within 0.3 s")],
)
async def test_what_is_not_read(path: str, message: str, site: Site) -> None:
    with pytest.raises(ToolFailed, match=message):
        await fetch(site, path, seconds=0.3 if path == "/silent" else 5)


@requirement("input-sanitization")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1%25lo]",
        "0.0.0.0",  # noqa: S104 - refused
        "0",
        "224.0.0.1",
    ],
)
async def test_inside_addresses_are_refused_before_a_connection(host: str, site: Site) -> None:
    assert await refusal(f"http://{host}:{site.port}/page", ports=(site.port,))
    assert not site.hosts


@pytest.mark.parametrize("address", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "100.100.100.200"])
async def test_metadata_services_are_refused_even_when_private_addresses_are_allowed(address: str) -> None:
    assert "which tools may not reach" in await refusal(f"http://{address}/latest/meta-data", allow_private=True)


async def test_a_redirect_inside_is_refused(site: Site) -> None:
    for target in ("http://169.254.169.254/latest", "file:///etc/passwd", "http://127.0.0.1:1/", "//[fe80::1]/"):
        with pytest.raises(ToolFailed):
            await fetch(site, f"/redirect?to={target}")
    assert len(site.hosts) == 4


async def test_one_bad_address_among_good_ones_is_refused() -> None:
    async with name_server(rebind_example=["8.8.8.8", "10.0.0.1"]) as server:
        lookups = Lookups(server.config)
        message = await refusal("http://rebind.example/", lookups=lookups)
    assert "rebind.example resolves to a private address" in message


async def test_the_checked_address_is_the_one_connected_to(site: Site) -> None:
    """A name that resolves differently each time cannot slip in between: it is resolved once, and Host stays."""
    async with name_server(rebind_example=["127.0.0.1"]) as server:
        lookups = Lookups(server.config)
        async with guarded(allow_private=True, ports=(site.port,), lookups=lookups) as http:
            page = await http.get(f"http://rebind.example:{site.port}/page", max_bytes=1000, seconds=5)
        assert page.text == "Hello"
        assert site.hosts == [f"rebind.example:{site.port}"]
        assert server.asked("rebind.example") == len(("A", "AAAA"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.com/", "Only http and https"),
        ("file:///etc/passwd", "Not a URL with a host"),
        ("gopher://example.com/", "Only http and https"),
        ("http://user:password@example.com/", "credentials"),
        ("http://user@example.com/", "credentials"),
        ("http://example.com:22/", "Port 22 is not allowed"),
        ("http://example.com:8080/", "allowed are 80, 443"),
        ("http://example.com:99999/", "Not a URL"),
        ("http://example.com:0/", "Not a URL"),
        ("http://", "Not a URL"),
        ("example.com", "Not a URL"),
        ("http://exa mple.com/", "blanks"),
        ("http://example.com/\r\nHost: inside", "control characters"),
        ("http://example.com\\@127.0.0.1/", "backslashes"),
        ("http://[::1/", "Not a URL"),
        ("http://" + "a" * 3000, "too long"),
    ],
)
async def test_strange_urls_are_refused(url: str, message: str) -> None:
    assert message in await refusal(url)
