"""Puts the gateway together from its settings and the resources it reads; `main`, tests and benchmarks call it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from agentic_core import egress, names
from agentic_core.auth import run_tokens
from agentic_core.db import faults
from agentic_core.egress import Guard
from agentic_gateway.app import Context, Limits
from agentic_gateway.call import upstream
from agentic_gateway.call.circuit import Circuits
from agentic_gateway.call.keys import KeyRing
from agentic_gateway.call.upstream import Upstream
from agentic_gateway.identify.verifier import Verifier
from agentic_gateway.metrics import Metrics
from agentic_gateway.relay.relay import Relay
from agentic_gateway.reserve.allowances import Allowances
from agentic_gateway.route.resources import Resources
from agentic_gateway.settings import GatewaySettings
from agentic_gateway.settle import repository
from agentic_gateway.settle.meter import Meter
from agentic_gateway.settle.repository import UsageRepository


@asynccontextmanager
async def running(settings: GatewaySettings, resources: Resources) -> AsyncGenerator[Context]:
    """Everything that is open while the gateway serves; at the end all usage is written before the database closes."""
    guard = await _guard(settings)
    session = upstream.session(
        guard,
        connect=settings.connect_seconds,
        silence=settings.silence_seconds,
        per_host=settings.connections_per_provider,
    )
    pool = repository.pool(
        settings.database_url.get_secret_value(),
        connections=settings.database_connections,
        transaction_pooler=settings.database_pooler,
    )
    async with pool, session:
        metrics = Metrics()
        usage = UsageRepository(pool)
        allowances = Allowances(usage)
        watching = asyncio.create_task(allowances.watch())
        meter = Meter(
            usage,
            allowances,
            metrics,
            writers=settings.database_connections,
            backlog=settings.usage_backlog,
            wait_seconds=settings.usage_wait_seconds,
        )
        circuits = _circuits(settings, metrics)
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
                relay=Relay(meter, metrics, max_event_bytes=settings.max_answer_bytes),
                meter=meter,
                allowances=allowances,
                metrics=metrics,
                limits=Limits(settings.max_request_bytes, settings.receive_seconds, settings.request_seconds),
                problems=Readiness(resources, usage, meter).problem,
            )
        finally:
            watching.cancel()
            await meter.close()


def _circuits(settings: GatewaySettings, metrics: Metrics) -> Circuits:
    circuits = Circuits(failures=settings.circuit_failures, seconds=settings.circuit_seconds)
    metrics.show_circuits(circuits.states)
    return circuits


async def _guard(settings: GatewaySettings) -> Guard:
    """Private providers must not be the platform itself, by whatever name; on loopback there are no such names."""
    inside = settings.private_providers and not settings.loopback_providers
    return Guard(
        private=settings.private_providers,
        loopback=settings.loopback_providers,
        foreign_namespace=settings.namespace,
        foreign=await egress.addresses_of(_hosts(settings)) if inside else frozenset(),
    )


def _hosts(settings: GatewaySettings) -> list[str]:
    """Where the platform's Services, the API server and the database are."""
    hosts = urlsplit(settings.database_url.get_secret_value()).netloc.rpartition("@")[2].split(",")
    databases = [urlsplit(f"//{host}").hostname for host in hosts]
    services = [f"{name}.{settings.namespace}.svc" for name in (names.API, names.GATEWAY)]
    return [*services, "kubernetes.default.svc", *filter(None, databases)]


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
            if not faults.is_unavailable(error):
                raise
            return f"PostgreSQL does not answer: {type(error).__name__}"
        return None
