"""The span of a call: one trace from the runtime to the provider's answer, without a word of prompt or answer."""

from collections.abc import Generator
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.gateway import support
from tests.gateway.faults import FaultServer, answer, completion
from tests.gateway.support import Running
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase

ASK: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "a secret question"}]
PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Generator[InMemorySpanExporter]:
    """All spans that end."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


@requirement("observability")
async def test_a_call_is_a_span_below_the_runtimes(
    gateway: Running, upstream: FaultServer, spans: InMemorySpanExporter
) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    upstream.plays(answer(200, completion("a secret answer")))
    await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK, extra_headers=PARENT)
    span, served = spans.get_finished_spans()
    assert (span.name, span.kind) == ("chat m", SpanKind.CLIENT)
    assert (served.name, served.kind) == ("POST /v1/chat/completions", SpanKind.SERVER)
    assert span.parent == served.context
    assert served.parent is not None
    assert f"00-{served.parent.trace_id:032x}-{served.parent.span_id:016x}-01" == PARENT["traceparent"]
    assert (served.attributes or {})["http.response.status_code"] == 200
    assert span.attributes is not None
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["gen_ai.request.model"] == "m"
    assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["gen_ai.usage.output_tokens"]) == (10, 5)
    assert "secret" not in span.to_json()
    assert "traceparent" not in upstream.requests[0].headers, "a provider belongs to others"


async def test_a_failed_call_is_a_failed_span(
    gateway: Running, upstream: FaultServer, spans: InMemorySpanExporter
) -> None:
    gateway.resources.provider("a", upstream.url, "m")
    upstream.plays(answer(500, {}))
    with pytest.raises(openai.InternalServerError):
        await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK)
    span, served = spans.get_finished_spans()
    assert span.status.status_code is served.status.status_code is StatusCode.ERROR
    assert "secret" not in span.to_json() + served.to_json()


async def test_a_trusted_provider_gets_the_trace(
    postgres: PostgresDatabase, tmp_path: Path, upstream: FaultServer, spans: InMemorySpanExporter
) -> None:
    async with support.gateway(postgres, tmp_path, trusted_trace=True) as gateway:
        gateway.resources.provider("a", upstream.url, "m")
        upstream.plays(answer(200, completion()))
        await gateway.openai("a/m").chat.completions.create(model="a/m", messages=ASK, extra_headers=PARENT)
    span, _served = spans.get_finished_spans()
    assert span.context is not None
    assert upstream.requests[0].headers["traceparent"].split("-")[1:3] == [
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
    ]
