"""Opens everything that the api process needs, in order, and closes it again; `main` and the tests hand it to `app`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from agentic_api.agents.service import Agents
from agentic_api.audit import Audit
from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.definitions import Definitions, GetObject
from agentic_api.catalog.resolved import ResolvedAgents
from agentic_api.context import Context
from agentic_api.conversations.service import ConversationService
from agentic_api.identity.api_keys import ApiKeys
from agentic_api.identity.authenticator import Authenticator
from agentic_api.keys.service import Keys
from agentic_api.memory import RequestMemory
from agentic_api.runs.lifecycle import runtime_client
from agentic_api.runs.lifecycle.capacity import Capacity
from agentic_api.runs.lifecycle.metrics import RunMetrics
from agentic_api.runs.lifecycle.replica import Replica, RunTiming
from agentic_api.runs.lifecycle.retention import Retention
from agentic_api.runs.service import RunService
from agentic_api.settings import ApiSettings
from agentic_api.tenants.sync import TenantSync
from agentic_core.auth import run_tokens
from agentic_core.clock import Clock
from agentic_core.cluster import Cluster, Watches, credentials
from agentic_core.db import ConnectionPurpose, Database, functions
from agentic_core.db.notices import Notices
from agentic_core.egress import Guard, GuardedClient
from agentic_core.web.exposition import exposed
from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.rate_limit import RateLimiter

RESERVED = {ConnectionPurpose.LEASES: 1, ConnectionPurpose.AUTHENTICATION: 2}
"""Connections for what must not wait for the reads of tenants. One extension of all leases is made at a time; a lookup
takes about a millisecond, and its result is cached."""


@dataclass(frozen=True)
class ResourceSource:
    """Where custom resources come from."""

    catalog: Catalog
    cluster: Cluster | None
    """Where agents are written; None where they are not."""
    get: GetObject
    """Gets what the catalog does not hold."""
    synced: Callable[[], bool]
    """Whether the catalog is complete."""


@asynccontextmanager
async def of_cluster(settings: ApiSettings, database: Database) -> AsyncGenerator[ResourceSource]:
    """The resources of the cluster, watched inside the block; tenants get their rows."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(credentials.load(settings.kubeconfig)))
        sync = TenantSync(cluster, database)
        catalog = Catalog(on_tenant=sync.changed)
        watches = Watches(cluster, catalog.stores.values())
        await stack.enter_async_context(watches.running())
        await stack.enter_async_context(sync.running(catalog))
        writable = None if settings.gitops_only else cluster
        yield ResourceSource(catalog, writable, cluster.get, synced=lambda: watches.synced)


def database_of(settings: ApiSettings) -> Database:
    """The pool of the process."""
    return Database(
        settings.database_url.get_secret_value(),
        connections=settings.database_connections,
        reserved=RESERVED,
        reads_per_tenant=settings.reads_per_tenant,
        transaction_pooler=settings.database_pooler,
    )


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the composition is made of, with the defaults of production; tests replace single parts."""

    database: Callable[[ApiSettings], Database] = database_of
    resources: Callable[[ApiSettings, Database], AbstractAsyncContextManager[ResourceSource]] = of_cluster
    runtimes: Callable[[Guard], GuardedClient] = runtime_client.client
    notices: Callable[..., Notices] = Notices
    clock: Clock = field(default_factory=Clock)
    timing: RunTiming = field(default_factory=RunTiming)


@asynccontextmanager
async def opened(
    settings: ApiSettings,
    *,
    registry: CollectorRegistry,
    http_metrics: HttpMetrics,
    lifecycle: Lifecycle,
    parts: Parts | None = None,
) -> AsyncGenerator[Context]:
    """The context, for as long as the block."""
    parts = parts or Parts()
    pepper = settings.pepper_file.read_bytes().strip()
    async with AsyncExitStack() as stack:
        database = parts.database(settings)
        stack.push_async_callback(database.close)
        # Before the runs, so that they are seen until the last one has ended.
        await stack.enter_async_context(exposed(registry, host=settings.host, port=settings.metrics_port))
        guard = Guard(private=True, loopback=settings.runtimes_anywhere)
        http = await stack.enter_async_context(parts.runtimes(guard))
        resources = await stack.enter_async_context(parts.resources(settings, database))
        catalog = resources.catalog
        replica = Replica(
            database,
            http,
            RunMetrics(registry),
            timing=parts.timing,
            capacity=Capacity(settings.runs_per_tenant, settings.followers_per_tenant, settings.live_bytes),
            notices=parts.notices,
            left=lifecycle.left,
        )
        await stack.enter_async_context(replica.open())
        await stack.enter_async_context(Retention(database, parts.clock, days=settings.event_days).running())
        audit = Audit(database)
        api_keys = _api_keys(database, catalog, settings=settings, pepper=pepper, clock=parts.clock)
        yield Context(
            lifecycle=lifecycle,
            http_metrics=http_metrics,
            database=database,
            catalog=catalog,
            synced=resources.synced,
            authenticator=Authenticator([api_keys]),
            api_keys=api_keys,
            limiter=RateLimiter(per_minute=settings.requests_per_minute, clock=parts.clock),
            tenant_limiter=RateLimiter(per_minute=settings.tenant_requests_per_minute, clock=parts.clock),
            memory=RequestMemory(settings.request_bytes),
            max_body_bytes=settings.max_body_bytes,
            audit=audit,
            keys=Keys(database, catalog, pepper=pepper, clock=parts.clock, per_tenant=settings.keys_per_tenant),
            agents=Agents(resources.cluster, catalog, audit),
            runs=_runs(database, resources, settings=settings, replica=replica),
            conversations=ConversationService(database, catalog),
        )


def _runs(database: Database, resources: ResourceSource, *, settings: ApiSettings, replica: Replica) -> RunService:
    """Runs of the catalog's agents, whose tokens have the signature of the api."""
    resolved = ResolvedAgents(resources.catalog, Definitions(resources.get), anywhere=settings.runtimes_anywhere)
    key = run_tokens.private_key(settings.run_token_key_file.read_text())
    return RunService(database, resources.catalog, resolved, replica, key)


def _api_keys(database: Database, catalog: Catalog, *, settings: ApiSettings, pepper: bytes, clock: Clock) -> ApiKeys:
    """The scheme of API keys over the rows and the Tenants."""
    return ApiKeys(
        lambda key_id: functions.find_api_key(database, key_id),
        pepper=pepper,
        ttl=settings.key_cache_seconds,
        clock=clock,
        default_namespace=catalog.default_namespace,
    )
