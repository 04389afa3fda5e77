"""Credentials come before bodies: a stranger is refused at the head of a request, however long the body takes."""

import asyncio
from urllib.parse import urlsplit

import pytest

from agentic_core.contract import RUN_PATH
from tests.gateway import support
from tests.gateway.conftest import gateway
from tests.runtime import harness
from tests.runtime.conftest import client, model
from tests.support.waiting import PATIENCE

__all__ = ["client", "gateway", "model"]

GATEWAY_PATHS = ["/v1/chat/completions", "/v1/embeddings", "/v1/messages"]
NOBODY = "authorization: Bearer nobody\r\n"


async def refused(url: str, path: str, headers: str) -> bytes:
    """What comes back for a chunked body that never ends, up to the end of the connection."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n{headers}\r\n5\r\n".encode())
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()


@pytest.mark.parametrize("path", GATEWAY_PATHS)
@pytest.mark.parametrize("headers", ["", NOBODY], ids=["none", "unknown"])
async def test_the_gateway_refuses_strangers_before_their_body(
    gateway: support.Running, path: str, headers: str
) -> None:
    response = await refused(gateway.url, path, headers)
    assert response.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in response.lower()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 401),
        (NOBODY, 401),
        (f"authorization: Bearer {harness.token(namespace='other', lifetime=3600)}\r\n", 403),
    ],
    ids=["none", "unknown", "another namespace"],
)
async def test_the_runtime_refuses_strangers_before_their_body(
    client: harness.Client, headers: str, status: int
) -> None:
    response = await refused(str(client.http.base_url), RUN_PATH, headers)
    assert response.startswith(f"HTTP/1.1 {status}".encode())
    assert b"connection: close" in response.lower()


async def test_a_body_that_is_declared_too_large_is_not_read(gateway: support.Running) -> None:
    headers = f"authorization: Bearer {gateway.token('a/m')}\r\ncontent-length: 99999999999\r\n"
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"POST {GATEWAY_PATHS[0]} HTTP/1.1\r\nhost: x\r\n{headers}\r\n".encode())
    assert (await asyncio.wait_for(reader.read(), PATIENCE)).startswith(b"HTTP/1.1 413")
    writer.close()
