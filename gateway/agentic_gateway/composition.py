"""Puts the gateway together from its settings and its parts; `main`, tests and benchmarks call it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import asyncpg

from agentic_core.auth import run_tokens
from agentic_core.clock import Clock
from agentic_core.db import faults
from agentic_core.egress import Guard, GuardedClient, Lookups, provider_guard
from agentic_core.tasks import background
from agentic_gateway.app import GatewayContext
from agentic_gateway.call import upstream
from agentic_gateway.call.circuit import Circuits
from agentic_gateway.call.keys import KeyRing
from agentic_gateway.call.upstream import Upstream
from agentic_gateway.flow import CallFlow, RequestLimits
from agentic_gateway.identify.verifier import Verifier
from agentic_gateway.ledger import Ledger
from agentic_gateway.metrics import GatewayMetrics
from agentic_gateway.reserve.run_balances import RunBalances, RunWatch
from agentic_gateway.reserve.run_ledger import RunLedger
from agentic_gateway.route.resources import GatewayResources
from agentic_gateway.settings import GatewaySettings
from agentic_gateway.settle import repository
from agentic_gateway.settle.repository import UsageRepository
from agentic_gateway.settle.usage_queue import UsageQueue
from agentic_gateway.shares import CallShares, ShareLimits


@dataclass(frozen=True)
class GatewayParts:
    """What the gateway is put together from besides its settings."""

    resources: GatewayResources
    ledger: Ledger | None = None
    """None for the one that holds the token limits of runs in PostgreSQL."""
    clock: Clock = field(default_factory=Clock)
    run_watch: RunWatch = field(default_factory=RunWatch)
    open_pool: Callable[..., asyncpg.Pool] = repository.pool
    open_client: Callable[..., GuardedClient] = upstream.client
    """Opens the one HTTP client for providers."""
    open_lookups: Callable[[], Lookups] = Lookups
    """Opens the lookups of providers' names; the client closes them."""


@asynccontextmanager
async def running(settings: GatewaySettings, parts: GatewayParts) -> AsyncGenerator[GatewayContext]:
    """All that is open while the gateway serves; at the end all usage is committed before the database closes."""
    lookups = parts.open_lookups()
    guard = await _guard(settings, lookups)
    metrics = GatewayMetrics()
    client = parts.open_client(
        guard,
        connect=settings.connect_seconds,
        silence=settings.silence_seconds,
        per_host=settings.connections_per_provider,
        lookups=lookups,
    )
    pool = parts.open_pool(
        settings.database_url.get_secret_value(),
        connections=settings.database_connections,
        transaction_pooler=settings.database_pooler,
    )
    async with pool, client:
        store = UsageRepository(pool)
        balances = RunBalances(store, clock=parts.clock, watch=parts.run_watch)
        queue = UsageQueue(
            store,
            metrics,
            on_totals=balances.update,
            writers=settings.database_connections,
            backlog=settings.usage_backlog,
            wait_seconds=settings.usage_wait_seconds,
        )
        flow = CallFlow(
            verifier=Verifier(run_tokens.public_keys(settings.run_token_public_key_file.read_text())),
            catalog=parts.resources,
            ledger=parts.ledger or RunLedger(balances, queue),
            upstream=_upstream(settings, parts, client, metrics=metrics),
            metrics=metrics,
            limits=RequestLimits(
                body_bytes=settings.max_request_bytes,
                receive_seconds=settings.receive_seconds,
                request_seconds=settings.request_seconds,
                event_bytes=settings.max_event_bytes,
            ),
            shares=_shares(settings, metrics),
            clock=parts.clock,
        )
        async with aclosing(queue), background(balances.watch()):
            yield GatewayContext(flow, metrics, GatewayReadiness(parts.resources, store, queue).problem)


def _shares(settings: GatewaySettings, metrics: GatewayMetrics) -> CallShares:
    requests = max(settings.request_bytes_per_tenant, settings.max_request_bytes)
    responses = max(settings.response_bytes_per_tenant, settings.max_answer_bytes, settings.max_event_bytes)
    shares = CallShares(
        ShareLimits(
            calls=settings.calls,
            calls_per_tenant=settings.calls_per_tenant,
            request_bytes=max(settings.request_bytes, requests),
            request_bytes_per_tenant=requests,
            response_bytes=max(settings.response_bytes, responses),
            response_bytes_per_tenant=responses,
            wait_seconds=settings.share_wait_seconds,
        )
    )
    metrics.show_held(shares.held_bytes)
    return shares


def _upstream(
    settings: GatewaySettings,
    parts: GatewayParts,
    client: GuardedClient,
    *,
    metrics: GatewayMetrics,
) -> Upstream:
    circuits = Circuits(failures=settings.circuit_failures, seconds=settings.circuit_seconds)
    metrics.show_circuits(circuits.states)
    return Upstream(
        client,
        KeyRing(parts.resources, seconds=settings.key_seconds),
        circuits=circuits,
        attempts=settings.attempts,
        max_response_bytes=settings.max_answer_bytes,
        trusted_trace=settings.trusted_trace,
    )


async def _guard(settings: GatewaySettings, lookups: Lookups) -> Guard:
    hosts = urlsplit(settings.database_url.get_secret_value()).netloc.rpartition("@")[2].split(",")
    databases = [urlsplit(f"//{host}").hostname for host in hosts]
    return await provider_guard(
        private=settings.private_providers,
        loopback=settings.loopback_providers,
        namespace=settings.namespace,
        hosts=filter(None, databases),
        lookups=lookups,
    )


class GatewayReadiness:
    """Whether requests should be sent here."""

    def __init__(self, resources: GatewayResources, store: UsageRepository, queue: UsageQueue) -> None:
        self._resources = resources
        self._store = store
        self._queue = queue

    async def problem(self) -> str | None:
        """Why the gateway is not ready, None when it is."""
        if not self._resources.synced:
            return "the API server has not sent all tenants and providers yet"
        if self._queue.stalled:
            return "too much usage waits to be recorded"
        try:
            await self._store.ready()
        except Exception as error:
            if not faults.is_unavailable(error):
                raise
            return f"PostgreSQL is unavailable: {type(error).__name__}"
        return None
