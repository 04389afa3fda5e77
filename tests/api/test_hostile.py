"""Clients that are slow, huge, or break off; spoken to over a bare socket."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.api import harness
from tests.api.harness import Api
from tests.support.apiserver import ControlPlane
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

LIMIT = 4096


@pytest.fixture
async def strict(plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path) -> AsyncGenerator[Api]:
    """An api with small limits; a request may still take as long as an honest one does on a busy machine."""
    limits = {"max_body_bytes": LIMIT, "body_timeout": 0.3, "request_timeout": 3.0}
    async with harness.running(plane, postgres, tmp_path / "secrets", **limits) as started:
        yield started


@asynccontextmanager
async def connection(api: Api) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


def head(api: Api, *headers: str, length: int | None = None) -> bytes:
    """The head of a POST of a key."""
    lines = ["POST /api/v1/keys HTTP/1.1", "Host: api", f"Authorization: Bearer {api.admin_key}"]
    lines += ["Content-Type: application/json", *headers]
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and code of the answer, read until the server closes."""
    text = (await asyncio.wait_for(reader.read(), PATIENCE)).decode()
    top, _, body = text.partition("\r\n\r\n")
    assert "content-type: application/problem+json" in top.lower()
    return int(top.split()[1]), json.loads(body)["code"]


async def drip(writer: asyncio.StreamWriter, *, seconds: float) -> None:
    """Send a byte now and then."""
    async with asyncio.timeout(seconds):
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)


async def test_a_declared_huge_body_is_refused_before_it_is_sent(strict: Api) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(head(strict, length=10**12))
        assert await answer(reader) == (413, "too_large")


async def test_an_undeclared_huge_body_is_refused_in_the_middle(strict: Api) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(head(strict, "Transfer-Encoding: chunked"))
        writer.write(b"%x\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1) + b"\r\n")
        assert await answer(reader) == (413, "too_large")


async def test_a_slow_body_times_out(strict: Api) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(head(strict, length=100) + b'{"name": ')
        assert await answer(reader) == (408, "request_timeout")


async def test_a_body_that_drips_times_out_all_the_same(strict: Api) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(head(strict, length=1000))
        reading = asyncio.create_task(answer(reader))
        for _ in range(1000):
            if reading.done():
                break
            writer.write(b" ")
            await asyncio.wait([reading], timeout=0.05)
        assert await reading == (408, "request_timeout")


@pytest.mark.parametrize("chunked", [False, True])
async def test_who_is_still_sending_sees_the_answer(strict: Api, *, chunked: bool) -> None:
    """More than the buffers of a connection hold: without patience the client gets a reset instead."""
    body = b" " * 20_000_000

    async def pieces() -> AsyncGenerator[bytes]:
        yield body

    async with strict.client() as client:
        refused = await client.post("/api/v1/keys", content=pieces() if chunked else body)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_a_truncated_body_harms_nobody(strict: Api) -> None:
    async with connection(strict) as (_reader, writer):
        writer.write(head(strict, length=100) + b'{"name": ')
        await writer.drain()
    async with strict.client() as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_a_header_cannot_be_injected_through_an_id(strict: Api) -> None:
    async with strict.client() as client:
        injected = await client.get("/api/v1/tenants/a%0d%0aSet-Cookie:%20x=1")
    assert injected.status_code == 404
    assert "set-cookie" not in injected.headers


async def test_an_endpoint_that_takes_too_long_times_out(strict: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(*_args: object, **_kwargs: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(type(strict.context.keys), "page", stuck)
    async with strict.client() as client:
        late = await client.get("/api/v1/keys")
    assert late.status_code == 504
    assert late.json()["code"] == "timeout"
