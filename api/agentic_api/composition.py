"""Opens everything that the api process needs, in order, and closes it again; `main` and the tests hand it to `app`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry

from agentic_api.agents.service import Agents
from agentic_api.audit import Audit
from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.resolved import ResolvedAgents
from agentic_api.context import Context
from agentic_api.conversations.service import ConversationService
from agentic_api.identity.api_keys import ApiKeys
from agentic_api.identity.authenticator import Authenticator
from agentic_api.keys.service import Keys
from agentic_api.runs.lifecycle import runtime
from agentic_api.runs.lifecycle.capacity import Capacity
from agentic_api.runs.lifecycle.metrics import RunMetrics
from agentic_api.runs.lifecycle.replica import Replica, Timing
from agentic_api.runs.lifecycle.retention import Retention
from agentic_api.runs.service import RunService
from agentic_api.settings import ApiSettings
from agentic_api.tenants.sync import TenantSync
from agentic_core.auth import run_tokens
from agentic_core.clock import Clock
from agentic_core.cluster import Cluster, Watches, credentials
from agentic_core.db import Database, functions
from agentic_core.web.exposition import exposed
from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.rate_limit import RateLimiter


@asynccontextmanager
async def opened(
    settings: ApiSettings, *, registry: CollectorRegistry, http_metrics: HttpMetrics, lifecycle: Lifecycle
) -> AsyncGenerator[Context]:
    """The context, for as long as the block."""
    pepper = settings.pepper_file.read_bytes().strip()
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url.get_secret_value(), transaction_pooler=settings.database_pooler)
        stack.push_async_callback(database.close)
        # Before the runs, so that they are seen until the last one has ended.
        await stack.enter_async_context(exposed(registry, host=settings.host, port=settings.metrics_port))
        http = await stack.enter_async_context(runtime.session())
        clock = Clock()
        cluster, catalog, synced = await _resources(stack, settings, database)
        capacity = Capacity(settings.runs_per_tenant, settings.followers_per_tenant, settings.live_bytes)
        replica = Replica(database, http, RunMetrics(registry), timing=Timing(), capacity=capacity, left=lifecycle.left)
        await stack.enter_async_context(replica.open())
        await stack.enter_async_context(Retention(database, clock, days=settings.event_days).running())
        audit = Audit(database)
        resolved = ResolvedAgents(catalog, anywhere=settings.runtimes_anywhere)
        key = run_tokens.private_key(settings.run_token_key_file.read_text())
        api_keys = ApiKeys(
            lambda key_id: functions.authenticate_key(database, key_id),
            pepper=pepper,
            ttl=settings.key_cache_seconds,
            clock=clock,
            default_namespace=lambda tenant: catalog.namespaces(tenant).default,
        )
        yield Context(
            lifecycle=lifecycle,
            http_metrics=http_metrics,
            database=database,
            catalog=catalog,
            synced=synced,
            authenticator=Authenticator([api_keys]),
            api_keys=api_keys,
            limiter=RateLimiter(per_minute=settings.requests_per_minute, clock=clock),
            audit=audit,
            keys=Keys(database, catalog, pepper=pepper, clock=clock),
            agents=Agents(None if settings.gitops_only else cluster, catalog, audit),
            runs=RunService(database, catalog, resolved, replica, key),
            conversations=ConversationService(database, catalog),
        )


async def _resources(
    stack: AsyncExitStack, settings: ApiSettings, database: Database
) -> tuple[Cluster | None, Catalog, Callable[[], bool]]:
    cluster = await stack.enter_async_context(Cluster(credentials.load(settings.kubeconfig)))
    sync = TenantSync(cluster, database)
    catalog = Catalog(on_tenant=sync.changed)
    watches = Watches(cluster, catalog.stores.values())
    await stack.enter_async_context(watches.running())
    await stack.enter_async_context(sync.running(catalog))
    return cluster, catalog, lambda: watches.synced
