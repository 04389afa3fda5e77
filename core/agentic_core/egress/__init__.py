"""The one way out of a program to URLs that tenants write: which may be called, and the HTTP client that calls them.

The gateway, the operator's probes, the runtime's tools and the api's client of runtimes call through `GuardedClient`.
"""

from agentic_core.egress.client import GuardedClient, refusal
from agentic_core.egress.guard import ForbiddenAddress, Guard
from agentic_core.egress.lookups import Lookups, addresses_of
from agentic_core.egress.platform import provider_guard
from agentic_core.egress.urls import InvalidUrl

__all__ = [
    "ForbiddenAddress",
    "Guard",
    "GuardedClient",
    "InvalidUrl",
    "Lookups",
    "addresses_of",
    "provider_guard",
    "refusal",
]
