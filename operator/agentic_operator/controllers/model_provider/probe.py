"""Whether providers respond: probes them in the background, each at a slow pace. `observe` reads the last result.

It calls URLs that tenants wrote, with their keys: only permitted addresses, no redirects, no proxies, bounded time.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from cachetools import LRUCache

from agentic_core.egress import Guard, GuardedClient, refusal
from agentic_core.fair_semaphore import FairSemaphore
from agentic_core.tasks import cancel
from agentic_crds.model_provider import ModelProviderSpec, ProviderType
from agentic_operator.controllers.model_provider.observed import PENDING, ProbeResult
from agentic_operator.controllers.model_provider.status import INTERVAL

TIMEOUT = 5.0
MAX_PROBES = 16
MAX_PROBES_PER_TENANT = 4
MAX_PROVIDERS = 10_000


@dataclass(frozen=True)
class ProbeTarget:
    """A provider and its key."""

    tenant: str
    """Uid of the Tenant, whose share of probes and lookups it takes."""
    uid: str
    spec: ModelProviderSpec
    key: str | None = field(repr=False)

    @property
    def key_hash(self) -> str:
        """A one-way hash of the key, different for each provider that has it."""
        return key_hash(self.key, self.uid) if self.key else ""


def key_hash(key: str, uid: str) -> str:
    """The hash by which a status shows that a key was rotated."""
    return hmac.new(uid.encode(), key.encode(), hashlib.sha256).hexdigest()[:16]


@dataclass
class _Probed:
    what: tuple[str, str]
    """URL and hash of the key: with another one the result is worthless."""
    at: float
    result: ProbeResult = PENDING
    task: asyncio.Task[None] | None = None


class Prober:
    """The last results of all providers.

    Invariants: at most one probe of a provider runs; a probe whose target changed is cancelled and never read; a result
    that is evicted from the cache is probed again; at most `MAX_PROBES` run, and `MAX_PROBES_PER_TENANT` of a tenant.
    """

    def __init__(self, guard: Guard, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._clock = clock
        self._probed: LRUCache[str, _Probed] = LRUCache(MAX_PROVIDERS)
        self._running: set[asyncio.Task[None]] = set()
        self._slots = FairSemaphore[str](MAX_PROBES, per_tenant=MAX_PROBES_PER_TENANT)
        self._http: GuardedClient | None = None

    def last_result(self, target: ProbeTarget) -> tuple[ProbeResult, bool]:
        """The last result, and whether a newer one is on its way."""
        what = (f"{target.spec.type} {target.spec.url}", target.key_hash)
        probed = self._probed.get(target.uid)
        if probed is None or probed.what != what:
            if probed and probed.task:
                probed.task.cancel()
            probed = self._probed[target.uid] = _Probed(what, at=self._clock() - INTERVAL)
        if probed.task is None and self._clock() - probed.at >= INTERVAL:
            probed.task = asyncio.get_running_loop().create_task(self._refresh(probed, target))
            self._running.add(probed.task)
            probed.task.add_done_callback(self._running.discard)
        return probed.result, probed.task is not None

    async def close(self) -> None:
        """End all probes."""
        await cancel(self._running)
        self._probed.clear()
        if self._http:
            await self._http.close()

    async def _refresh(self, probed: _Probed, target: ProbeTarget) -> None:
        async with self._slots.hold(target.tenant, 1, seconds=None):
            probed.result = await self._probe(target)
        probed.at, probed.task = self._clock(), None

    async def _probe(self, target: ProbeTarget) -> ProbeResult:
        try:
            url = models_url(target.spec)
            async with await self._client().request(
                "GET", url, tenant=target.tenant, headers=_headers(target)
            ) as response:
                return judge(response.status, target.spec.url)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            return _failure(error, target.spec.url)

    def _client(self) -> GuardedClient:
        if self._http is None:
            self._http = GuardedClient(self._guard, timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        return self._http


def models_url(spec: ModelProviderSpec) -> str:
    """Where the provider lists its models: the cheapest call that needs the key."""
    return f"{spec.url}/v1/models" if spec.type == ProviderType.ANTHROPIC else f"{spec.url}/models"


def judge(status: int, url: str) -> ProbeResult:
    """The result for an HTTP status. Many compatible servers have no list of models: any response of theirs will do."""
    if status in (401, 403):
        return ProbeResult("False", "KeyRefused", f"{url} refuses the API key with status {status}; check the Secret")
    if status >= 500:
        return ProbeResult("False", "ProviderFailed", f"{url} answers with status {status}")
    if 300 <= status < 400:
        return ProbeResult("False", "Redirected", f"{url} answers with a redirect; set baseUrl to where it leads")
    return ProbeResult("True", "Answers", f"{url} answers")


def _headers(target: ProbeTarget) -> dict[str, str]:
    if not target.key:
        return {}
    if target.spec.type == ProviderType.ANTHROPIC:
        return {"x-api-key": target.key, "anthropic-version": "2023-06-01"}
    return {"Authorization": f"Bearer {target.key}"}


def _failure(error: Exception, url: str) -> ProbeResult:
    refused = refusal(error)
    if refused:
        return ProbeResult("False", "AddressForbidden", f"{url} must not be called: {refused}; change baseUrl")
    if isinstance(error, TimeoutError):
        return ProbeResult("False", "Unreachable", f"{url} does not answer within {TIMEOUT:g} seconds")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ProbeResult("False", "Unreachable", f"The host name of {url} cannot be resolved")
    if isinstance(error, aiohttp.ClientSSLError):
        return ProbeResult("False", "Unreachable", f"The TLS certificate of {url} is not accepted")
    return ProbeResult("False", "Unreachable", f"{url} cannot be connected to")
