"""The typed context of the api process: made once by `composition`, passed to whatever needs a part of it."""

from collections.abc import Callable
from dataclasses import dataclass

from agentic_api.agents.service import Agents
from agentic_api.audit import Audit
from agentic_api.catalog.catalog import Catalog
from agentic_api.conversations.service import ConversationService
from agentic_api.identity.api_keys import ApiKeys
from agentic_api.identity.authenticator import Authenticator
from agentic_api.keys.service import Keys
from agentic_api.memory import RequestMemory
from agentic_api.runs.service import RunService
from agentic_core.db import Database
from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.rate_limit import RateLimiter


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a request may use."""

    lifecycle: Lifecycle
    http_metrics: HttpMetrics
    database: Database
    catalog: Catalog
    synced: Callable[[], bool]
    """Whether the catalog is complete."""
    authenticator: Authenticator
    api_keys: ApiKeys
    limiter: RateLimiter
    """By API key."""
    tenant_limiter: RateLimiter
    memory: RequestMemory
    max_body_bytes: int
    audit: Audit
    keys: Keys
    agents: Agents
    runs: RunService
    conversations: ConversationService
