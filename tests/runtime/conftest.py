"""Fixtures of the agent server's tests."""

from collections.abc import AsyncGenerator, Generator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.runtime import harness
from tests.runtime.harness import Client
from tests.runtime.provider import Provider, provider


@pytest.fixture
async def model() -> AsyncGenerator[Provider]:
    """A scripted model server."""
    async with provider() as scripted:
        yield scripted


@pytest.fixture
async def client(model: Provider) -> AsyncGenerator[Client]:
    """A client of an agent server whose gateway is the scripted model server."""
    async with harness.runtime(model) as started:
        yield started


@pytest.fixture
def spans() -> Generator[InMemorySpanExporter]:
    """What is traced."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()
