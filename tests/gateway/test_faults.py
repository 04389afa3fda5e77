"""Bad input, hostile providers and broken keys: each gets a clear answer, in the format of its wire."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import orjson
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from prometheus_client import generate_latest

from agentic_core.egress import Lookups
from tests.gateway import support
from tests.gateway.faults import FaultServer, Request, answer, completion
from tests.gateway.support import KEY, Running
from tests.requirements import requirement
from tests.support.dns import name_server
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

ASK: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello?"}]
CHAT = "/v1/chat/completions"


@asynccontextmanager
async def http(gateway: Running, *models: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """A plain client with a token."""
    headers = {"Authorization": f"Bearer {gateway.token(*models or ('a/m',))}", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=20) as client:
        yield client


BAD: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff\xfe{}", "not JSON"),
    (b'{"model": "a/m", "messages": [{"content": "\\ud800"}]}', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"[]", "JSON object"),
    (b"null", "JSON object"),
    (b"{}", "'model' has to be a string"),
    (b'{"model": 7, "messages": []}', "'model' has to be a string"),
    (b'{"model": "a/m"}', "'messages' has to be an array"),
    (b'{"model": "a/m", "messages": "hi"}', "'messages' has to be an array"),
    (b'{"model": "a/m", "messages": [], "stream": "yes"}', "'stream' has to be true or false"),
    (b'{"model": "a/m", "messages": [], "stream_options": []}', "'stream_options' has to be an object"),
]


@requirement("input-validation")
@pytest.mark.parametrize(("body", "message"), BAD, ids=range(len(BAD)))
async def test_the_error_of_a_malformed_request_says_what_is_wrong(gateway: Running, body: bytes, message: str) -> None:
    async with http(gateway) as client:
        answered = await client.post(CHAT, content=body)
    assert answered.status_code == 400
    error = answered.json()["error"]
    assert (error["code"], error["type"]) == ("malformed", "invalid_request_error")
    assert message in error["message"]


@requirement("input-validation")
async def test_anthropics_wire_has_its_own_errors(gateway: Running) -> None:
    async with http(gateway) as client:
        answered = await client.post("/v1/messages", content=b'{"model": "a/m", "messages": []}')
        await_none = await client.post("/v1/messages", content=b"{}", headers={"Authorization": ""})
    assert answered.json()["type"] == "error"
    assert answered.json()["error"]["type"] == "invalid_request_error"
    assert "'max_tokens' has to be a number" in answered.json()["error"]["message"]
    assert (await_none.status_code, await_none.json()["error"]["type"]) == (401, "authentication_error")


@requirement("input-validation")
async def test_bodies_are_bounded_whether_or_not_they_tell_their_size(
    postgres: PostgresDatabase, tmp_path: Path
) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(64):
            yield b" " * 64

    async with support.gateway(postgres, tmp_path, max_request_bytes=1000) as gateway, http(gateway) as client:
        for content in (b" " * 1001, pieces(), b" " * 20_000_000):
            answered = await client.post(CHAT, content=content)
            assert (answered.status_code, answered.json()["error"]["code"]) == (413, "too_large")
        assert (await client.get("/v1/models")).status_code == 200


async def test_a_request_that_does_not_arrive_is_given_up(postgres: PostgresDatabase, tmp_path: Path) -> None:
    async with support.gateway(postgres, tmp_path, receive_seconds=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        headers = f"host: x\r\nauthorization: Bearer {gateway.token('a/m')}\r\ncontent-length: 99\r\n\r\n"
        writer.write(f"POST {CHAT} HTTP/1.1\r\n{headers}{{".encode())
        status = await asyncio.wait_for(reader.readline(), PATIENCE)
        assert status.startswith(b"HTTP/1.1 408")
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nx-h: "], ids=["nothing", "half a head"])
async def test_heads_that_do_not_arrive_are_given_up(postgres: PostgresDatabase, tmp_path: Path, sent: bytes) -> None:
    async with support.gateway(postgres, tmp_path, receive_seconds=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()


@pytest.mark.parametrize("shape", ["many", "long", "endless", "url"])
async def test_heads_are_bounded(gateway: Running, shape: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    lines = {
        "many": "x-h: 1\r\n" * 20_000,
        "long": f"x-h: {'1' * 200_000}\r\n",
        "endless": f"x-h: {'1' * 2_000_000}",
        "url": f"x-h: {'1' * 33_000}\r\n",
    }
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + lines[shape].encode() + b"\r\n")
    status = await asyncio.wait_for(reader.readline(), PATIENCE)
    assert status.startswith(b"HTTP/1.1 431")
    writer.close()


async def test_paths_and_methods_that_are_not_there_are_not_found(gateway: Running) -> None:
    async with http(gateway) as client:
        for method, path in (("GET", CHAT), ("POST", "/v1/completions"), ("DELETE", "/v1/models")):
            answered = await client.request(method, path)
            assert (answered.status_code, answered.json()["error"]["code"]) == (404, "not_found")


LEADS_NOWHERE = [
    "http://169.254.169.254/v1",
    "http://[::ffff:169.254.169.254]/v1",
    "http://[fd00:ec2::254]/v1",
    "http://10.0.0.1/v1",
    "http://127.0.0.1/v1",
    "http://localhost/v1",
    "http://[::1]/v1",
    "http://0.0.0.0/v1",
    "http://2130706433/v1",
    "http://0x7f.1/v1",
    "http://[64:ff9b::a9fe:a9fe]/v1",
    "http://agentic-api.agentic-system:8080/v1",
    "http://postgres.agentic-system.svc.cluster.local./v1",
]


@pytest.mark.parametrize("url", LEADS_NOWHERE)
async def test_urls_of_tenants_cannot_reach_inside(postgres: PostgresDatabase, tmp_path: Path, url: str) -> None:
    async with support.gateway(postgres, tmp_path, loopback_providers=False) as gateway:
        gateway.resources.provider("a", url, "m")
        with pytest.raises(openai.InternalServerError) as error:
            await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)
    assert (error.value.status_code, error.value.code) == (502, "provider_misconfigured")
    assert "baseUrl" in error.value.message


async def test_a_private_address_needs_the_setting_and_metadata_never_passes(
    postgres: PostgresDatabase, tmp_path: Path
) -> None:
    async with support.gateway(postgres, tmp_path, private_providers=True, loopback_providers=False) as gateway:
        for url in ("http://169.254.169.254/v1", "http://127.0.0.1:9/v1"):
            gateway.resources.provider("a", url, "m")
            with pytest.raises(openai.InternalServerError, match="must not be called"):
                await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)


@pytest.mark.parametrize("url", ["http://models.example/v1", "http://10.96.0.7:8080/v1"])
async def test_a_private_provider_is_not_the_platform_by_another_name(
    postgres: PostgresDatabase, tmp_path: Path, url: str
) -> None:
    async with name_server(models_example=["10.96.0.7"]) as names:
        names.zone["agentic-api.agentic-system.svc"] = ["10.96.0.7"]
        parts = {"open_lookups": lambda: Lookups(names.config)}
        private = {"private_providers": True, "loopback_providers": False}
        async with support.gateway(postgres, tmp_path, parts=parts, **private) as gateway:
            gateway.resources.provider("a", url, "m")
            with pytest.raises(openai.InternalServerError, match="an address of the platform"):
                await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)


async def test_redirects_are_not_followed(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    upstream.plays(answer(307, b"", location="http://169.254.169.254/latest/meta-data"))
    with pytest.raises(openai.InternalServerError, match="redirects are not followed"):
        await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)
    assert len(upstream.requests) == 1


@requirement("secrets")
async def test_a_changed_key_is_read_again_when_the_old_one_is_refused(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m", key="sk-old")
    client = gateway.openai("a/m")

    async def only_new(request: Request) -> AsyncGenerator[bytes]:
        good = request.headers["authorization"] == "Bearer sk-new"
        async for piece in (answer(200, completion()) if good else answer(401, {}))(request):
            yield piece

    upstream.plays(answer(200, completion()), only_new)
    await client.chat.completions.create(model="a/m", messages=ASK)
    gateway.resources.key("a-key", "sk-new")
    await client.chat.completions.create(model="a/m", messages=ASK)
    sent = [request.headers["authorization"] for request in upstream.requests]
    assert sent == ["Bearer sk-old", "Bearer sk-old", "Bearer sk-new"]
    assert gateway.resources.reads == [("acme-default", "a-key")] * 2, (
        "exactly the one Secret, once until it is refused"
    )


@requirement("secrets")
async def test_a_key_is_never_told(gateway: Running, upstream: FaultServer, capfd: Any, caplog: Any) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    leaked = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    upstream.plays(answer(401, leaked), answer(400, leaked))
    client = gateway.openai("a/m")
    for kind in (openai.InternalServerError, openai.BadRequestError):
        with pytest.raises(kind) as error:
            await client.chat.completions.create(model="a/m", messages=ASK)
        assert KEY not in str(error.value)
        assert KEY not in error.value.response.text
    written = capfd.readouterr()
    assert KEY not in written.out + written.err + caplog.text


@pytest.mark.parametrize(
    "data", [{}, {"api-key": "%%%"}, {"api-key": ""}, {"api-key": "/w=="}, {"api-key": "YQpiCg=="}]
)
async def test_a_secret_without_a_key_says_so(gateway: Running, upstream: FaultServer, data: dict[str, str]) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    gateway.resources.secrets["acme-default", "a-key"] = data
    with pytest.raises(openai.InternalServerError, match="Secret acme-default/a-key") as error:
        await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)
    assert error.value.code == "provider_misconfigured"
    assert upstream.requests == []


@pytest.mark.parametrize("kind", ["kubernetes.io/dockerconfigjson", "kubernetes.io/service-account-token"])
async def test_only_keys_are_sent_to_providers(gateway: Running, upstream: FaultServer, kind: str) -> None:
    """A ModelProvider names any Secret and any URL: it must not carry the platform's credentials out."""
    gateway.resources.provider("a", upstream.url, "m")
    gateway.resources.secret_type = kind
    with pytest.raises(openai.InternalServerError, match=f"is of type {kind}"):
        await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)
    assert upstream.requests == []


@pytest.mark.parametrize("labels", [{}, {"agentic.io/provider-key": "false"}, {"agentic.io/tenant": "acme"}])
async def test_only_secrets_that_opted_in_are_sent_to_providers(
    gateway: Running, upstream: FaultServer, labels: dict[str, str]
) -> None:
    """Whoever may write ModelProviders names a Secret and a URL: the Secret's own writer has to permit it."""
    gateway.resources.provider("a", upstream.url, "m")
    gateway.resources.secret_labels = labels
    with pytest.raises(openai.InternalServerError, match="is not labelled") as error:
        await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)
    assert error.value.code == "provider_misconfigured"
    assert "kubectl -n acme-default label secret a-key agentic.io/provider-key=true" in error.value.message
    assert upstream.requests == []


async def test_a_provider_without_a_secret_is_called_without_a_key(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "m", key=None)
    upstream.plays(answer(200, completion()))
    await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)
    assert not {"authorization", "x-api-key"} & upstream.requests[0].headers.keys()


async def test_an_answer_without_end_is_given_up(
    postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer
) -> None:
    async with support.gateway(postgres, tmp_path, max_answer_bytes=10_000) as gateway:
        gateway.resources.provider("a", upstream.url, "m")
        upstream.plays(answer(200, b" " * 20_000))
        with pytest.raises(openai.InternalServerError, match="more than 10000 bytes"):
            await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)


@requirement("health")
async def test_health_readiness_and_metrics_say_what_holds(gateway: Running, upstream: FaultServer) -> None:
    gateway.resources.provider("a", upstream.url, "claude-sonnet-9")
    upstream.plays(answer(200, completion()))
    await gateway.openai("a/claude-sonnet-9").chat.completions.create(model="a/claude-sonnet-9", messages=ASK)
    async with httpx2.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 404, "tenants' pods come here"
        metrics = generate_latest(gateway.context.metrics.registry).decode()
        gateway.resources.synced = False
        unready = await client.get("/readyz")
    labels = '{model="claude-sonnet",operation="chat",provider="openaiCompatible",status="200"}'
    assert f"agentic_gateway_requests_total{labels} 1.0" in metrics
    assert "agentic_gateway_usage_pending 0.0" in metrics
    assert 'agentic_gateway_circuits{state="open"} 0.0' in metrics
    assert (unready.status_code, unready.json()["reason"][:14]) == (503, "the API server")


def test_bodies_are_written_as_they_were_read() -> None:
    body = {"model": "m", "messages": [{"content": "größer 🜁"}], "temperature": 0.1, "seed": 2**53 + 1}
    assert orjson.loads(orjson.dumps(body)) == body
