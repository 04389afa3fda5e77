"""What `POST /v1/run` refuses, and how; the probes; the bound on concurrent runs."""

import asyncio
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentic_core.auth import run_tokens
from agentic_core.contract import RUN_PATH, VERSION, Failed
from tests.requirements import requirement
from tests.runtime import harness
from tests.runtime.harness import Client, first_event, request, token
from tests.runtime.provider import Provider, Reply, openai_pieces, openai_text
from tests.support.waiting import PATIENCE, until


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["detail"]
    return document


@requirement("health")
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes(path: str, client: Client) -> None:
    assert (await client.http.get(path)).status_code == 200


async def test_the_answer_is_a_stream_of_lines(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("ok"))
    answer = await client.post(request())
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content.endswith(b"}\n")
    metrics = (await client.http.get("/metrics")).text
    assert 'agentic_runtime_runs_total{outcome="succeeded"} 1.0' in metrics
    assert "agentic_runtime_runs_in_flight 0.0" in metrics
    assert "agentic_runtime_run_duration_seconds_count 1.0" in metrics


UNAUTHENTICATED = [
    pytest.param({}, id="nothing"),
    pytest.param({"Authorization": "Basic abc"}, id="another scheme"),
    pytest.param({"Authorization": "Bearer"}, id="empty"),
    pytest.param({"Authorization": "Bearer not.a.token"}, id="nonsense"),
    pytest.param({"Authorization": f"Bearer {token(lifetime=-60)}"}, id="expired"),
    pytest.param({"Authorization": f"Bearer {token()[:-6]}AAAAAA"}, id="another signature"),
    pytest.param({"Authorization": f"Bearer {jwt.encode({'run_id': 'run-1'}, '', algorithm='none')}"}, id="unsigned"),
]


@requirement("tenant-context")
@pytest.mark.parametrize("headers", UNAUTHENTICATED)
async def test_without_a_good_token(headers: dict[str, str], model: Provider, client: Client) -> None:
    refused(await client.http.post(RUN_PATH, json=request(), headers=headers), 401, "unauthenticated")
    assert not model.requests


async def test_a_token_of_another_platform(client: Client) -> None:
    private, _public = run_tokens.generate()
    claims = run_tokens.RunClaims(
        tenant_id="1", tenant="acme", namespace="acme", agent="helper", run_id="run-1", models=("main/model-1",)
    )
    foreign = run_tokens.sign(claims, run_tokens.private_key(private), lifetime=60)
    refused(await client.post(request(), bearer=foreign), 401, "unauthenticated")


@pytest.mark.parametrize(
    "claims",
    [{"namespace": "globex"}, {"tenant": "globex"}, {"agent": "other"}, {"run_id": "run-2"}],
    ids=["namespace", "tenant", "agent", "run"],
)
async def test_a_token_of_another_run(claims: dict[str, str], model: Provider, client: Client) -> None:
    refused(await client.post(request(), bearer=token(**claims)), 403, "forbidden")
    assert not model.requests


async def test_a_request_for_another_namespace(client: Client) -> None:
    body = {**request(), "namespace": "globex"}
    refused(await client.post(body, bearer=token(namespace="globex")), 403, "forbidden")


MALFORMED = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{", id="cut off"),
    pytest.param(b"\xff\xfe", id="not UTF-8"),
    pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(json.dumps(request()).encode()[:-30], id="truncated"),
]


@requirement("input-validation")
@pytest.mark.parametrize("body", MALFORMED)
async def test_a_body_that_is_not_json(body: bytes, client: Client) -> None:
    refused(await client.post(body), 400, "malformed")


INVALID = [
    pytest.param({"messages": None}, "messages", id="no messages"),
    pytest.param({"messages": [{"role": "root", "content": "x"}]}, "messages.0.role", id="an unknown role"),
    pytest.param({"messages": "hello"}, "messages", id="messages of another type"),
    pytest.param({"definition": {}}, "definition.wire", id="an empty definition"),
    pytest.param({"run_id": 5}, "run_id", id="a number for a name"),
]


@pytest.mark.parametrize(("change", "field"), INVALID)
async def test_a_body_that_breaks_the_contract(change: dict[str, Any], field: str, client: Client) -> None:
    document = refused(await client.post(request() | change), 422, "invalid")
    assert field in [error["field"] for error in document["errors"]]


async def test_a_run_that_needs_a_newer_runtime(model: Provider, client: Client) -> None:
    body = request() | {"version": VERSION + 2, "requires": VERSION + 1}
    document = refused(await client.post(body), 422, "contract_version_unsupported")
    assert f"needs version {VERSION + 1}; this runtime supports {VERSION}" in document["detail"]
    assert not model.requests


async def test_what_a_newer_api_adds_is_ignored(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("ok"))
    limits = {"maxTokens": 100_000, "maxColours": 3}
    body = request(colour="red", limits=limits) | {"version": VERSION + 1, "requires": VERSION, "colour": "red"}
    assert (await client.run(body))[-1].type == "final"


async def test_what_was_said_is_not_repeated_in_an_error(client: Client) -> None:
    answer = await client.post(request({"role": "swordfish", "content": "swordfish"}))
    assert "swordfish" not in answer.text


async def test_a_list_is_not_a_request(client: Client) -> None:
    refused(await client.post([1, 2]), 422, "invalid")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large(declared: bool, model: Provider) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b"x" * 1000

    async with harness.runtime(model, max_body_bytes=10_000) as client:
        headers = {"Authorization": f"Bearer {token()}"}
        content = b"x" * 100_000 if declared else chunks()
        answer = await client.http.post(RUN_PATH, content=content, headers=headers)
    refused(answer, 413, "too_large")


async def test_a_body_that_does_not_arrive(model: Provider) -> None:
    async with harness.runtime(model, body_timeout=0.2) as client:
        url = urlsplit(str(client.http.base_url))
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = f"POST {RUN_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nContent-Length: 500\r\n\r\n"
        writer.write(head.encode() + b"{")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), PATIENCE)
        writer.close()


async def test_a_client_that_leaves_before_its_body(model: Provider, client: Client) -> None:
    url = urlsplit(str(client.http.base_url))
    with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
        head = f"POST {RUN_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nContent-Length: 500\r\n\r\n"
        connection.sendall(head.encode() + b"{")
    model.replies.append(openai_text("ok"))
    assert (await client.run(request()))[-1].type == "final"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", RUN_PATH, 405), ("POST", "/v1/runs", 404)])
async def test_other_routes(method: str, path: str, status: int, client: Client) -> None:
    assert (await client.http.request(method, path)).status_code == status


async def test_one_run_too_many(model: Provider) -> None:
    model.replies.append(Reply(openai_pieces("so far"), hang=True))
    async with harness.runtime(model, max_concurrent_runs=1) as client:
        headers = {"Authorization": f"Bearer {token()}"}
        async with client.http.stream("POST", RUN_PATH, json=request(), headers=headers) as first:
            await first_event(first.aiter_lines())
            answer = await client.post(request())
            refused(answer, 503, "runtime_busy")
            assert answer.headers["retry-after"] == "1"
        model.replies.append(openai_text("ok"))

        async def admitted() -> bool:
            return "runs_in_flight 0.0" in (await client.http.get("/metrics")).text

        await until(admitted, "the slot to be free")
        assert (await client.run(request()))[-1].type == "final"


@requirement("observability")
async def test_logs_and_spans_name_the_run_and_never_its_text(
    model: Provider,
    client: Client,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    spans: InMemorySpanExporter,
) -> None:
    model.replies.append(Reply([b'{"error": {"message": "swordfish"}}'], status=500))
    await client.run(request("swordfish", systemPrompt="swordfish"))
    written = caplog.text + "".join(capsys.readouterr())
    assert "run-1" in written
    assert "acme" in written
    assert "swordfish" not in written

    async def ended() -> bool:
        return len(spans.get_finished_spans()) == 2

    await until(ended, "both spans to end")
    chat, run = spans.get_finished_spans()
    assert (chat.attributes or {})["error.type"] == "OpenAIAPIError"
    assert (run.attributes or {})["agentic.run"] == "run-1"
    assert "swordfish" not in chat.to_json() + run.to_json()


async def test_a_bug_in_the_loop_is_an_error_event(
    model: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: Any) -> str:
        raise ValueError("swordfish")

    async with harness.runtime(model) as client:
        monkeypatch.setattr("agentic_runtime.lazy.LazyLoop.run", broken)
        (event,) = await client.run(request())
    assert isinstance(event, Failed)
    assert event.error.code == "internal"
    assert "swordfish" not in event.error.message + "".join(capsys.readouterr())


async def test_agents_of_the_same_shape_share_one_compiled_agent(model: Provider, monkeypatch: Any) -> None:
    from langchain.agents import create_agent  # noqa: PLC0415 - as late as the server loads it

    compiled: list[Any] = []

    def create(*args: Any, **options: Any) -> Any:
        compiled.append(args)
        return create_agent(*args, **options)

    monkeypatch.setattr("agentic_runtime.langchain_loop.create_agent", create)
    model.default = openai_text("ok")
    async with harness.runtime(model, compiled_agents=2) as client:
        for prompt in ("one", "two", "three"):
            await client.run(request(systemPrompt=prompt))
        assert [received.body["messages"][0]["content"] for received in model.requests] == ["one", "two", "three"]
        assert len(compiled) == 1
        await client.run(request(tools=["calculator", "http_fetch"]))
        await client.run(request(tools=["http_fetch", "calculator"]))
        assert len(compiled) == 2
        await client.run(request(tools=["http_fetch"]))
        await client.run(request())
        assert len(compiled) == 4, "the least recently used one was dropped"


def test_tracing_services_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from langsmith.utils import tracing_is_enabled  # noqa: PLC0415 - heavy

    from agentic_runtime import main  # noqa: PLC0415 - only here

    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setattr(main, "serve", lambda _settings: None)
    monkeypatch.setattr("uvloop.run", lambda _: None)
    monkeypatch.setattr("agentic_core.telemetry.configure", lambda *_: None)
    for name, value in harness.environment("http://gateway", 1).items():
        monkeypatch.setenv(name, value)
    for name in main.TRACING_SWITCHES:
        monkeypatch.setenv(name, "true")
    with pytest.raises(SystemExit) as ended:
        main.main([])
    assert ended.value.code is None
    assert not tracing_is_enabled()


async def test_the_first_run_does_not_wait_long(model: Provider) -> None:
    model.replies.append(openai_text("ok"))
    async with harness.runtime(model, warm=("openai",)) as client:
        started = time.monotonic()
        assert (await client.run(request()))[-1].type == "final"
        assert harness.elapsed(started) < PATIENCE
