"""Puts the gateway together from its settings and the resources it reads; `main`, tests and benchmarks call it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentic_api.gateway import repository, upstream
from agentic_api.gateway.app import Context, Limits
from agentic_api.gateway.circuit import Circuits
from agentic_api.gateway.identity import Verifier
from agentic_api.gateway.keys import KeyRing
from agentic_api.gateway.meter import Meter
from agentic_api.gateway.metrics import Metrics
from agentic_api.gateway.relay import Relay
from agentic_api.gateway.repository import UsageRepository
from agentic_api.gateway.resources import Resources
from agentic_api.gateway.settings import GatewaySettings
from agentic_api.gateway.upstream import Upstream
from agentic_core.auth import run_tokens
from agentic_core.db import faults
from agentic_core.egress import Guard


@asynccontextmanager
async def running(settings: GatewaySettings, resources: Resources) -> AsyncGenerator[Context]:
    """Everything that is open while the gateway serves; at the end all usage is written before the database closes."""
    guard = Guard(
        private=settings.private_providers, loopback=settings.loopback_providers, foreign_namespace=settings.namespace
    )
    session = upstream.session(
        guard,
        connect=settings.connect_seconds,
        silence=settings.silence_seconds,
        per_host=settings.connections_per_provider,
    )
    pool = repository.pool(settings.database_url.get_secret_value(), connections=settings.database_connections)
    async with pool, session:
        metrics = Metrics()
        usage = UsageRepository(pool)
        meter = Meter(
            usage,
            metrics,
            writers=settings.database_connections,
            backlog=settings.usage_backlog,
            wait_seconds=settings.usage_wait_seconds,
        )
        circuits = Circuits(failures=settings.circuit_failures, seconds=settings.circuit_seconds)
        try:
            yield Context(
                verifier=Verifier(run_tokens.public_keys(settings.run_token_public_key_file.read_text())),
                catalog=resources,
                upstream=Upstream(
                    session,
                    KeyRing(resources, seconds=settings.key_seconds),
                    circuits=circuits,
                    guard=guard,
                    attempts=settings.attempts,
                    max_answer_bytes=settings.max_answer_bytes,
                    trusted_trace=settings.trusted_trace,
                ),
                circuits=circuits,
                relay=Relay(meter, metrics, max_event_bytes=settings.max_answer_bytes),
                meter=meter,
                metrics=metrics,
                limits=Limits(settings.max_request_bytes, settings.receive_seconds, settings.request_seconds),
                problems=Readiness(resources, usage, meter).problem,
            )
        finally:
            await meter.close()


class Readiness:
    """Whether requests should come here."""

    def __init__(self, resources: Resources, usage: UsageRepository, meter: Meter) -> None:
        self._resources = resources
        self._usage = usage
        self._meter = meter

    async def problem(self) -> str | None:
        """Why the gateway is not ready, None when it is."""
        if not self._resources.synced:
            return "the API server has not told all tenants and providers yet"
        if self._meter.full:
            return "too much usage waits to be recorded"
        try:
            await self._usage.ready()
        except Exception as error:
            if not faults.is_away(error):
                raise
            return f"PostgreSQL does not answer: {type(error).__name__}"
        return None
