"""Whether providers answer: probes them in the background, each at a slow pace. `observe` asks for the last answer.

It calls URLs that tenants wrote, with their keys: only permitted addresses, no redirects, no proxies, bounded time.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

from agentic_core.egress import ForbiddenAddress, Guard, GuardedResolver
from agentic_crds.model_provider import ModelProviderSpec, ProviderType

INTERVAL = 60.0
"""Seconds between two probes of a provider."""
TIMEOUT = 5.0
CONCURRENT = 16
MOST_PROVIDERS = 10_000


@dataclass(frozen=True)
class Answer:
    """What a probe found."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


PENDING = Answer("Unknown", "Probing", "The provider is being called for the first time")


@dataclass(frozen=True)
class Target:
    """A provider and its key."""

    uid: str
    spec: ModelProviderSpec
    key: str | None = field(repr=False)

    @property
    def key_hash(self) -> str:
        """A one-way hash of the key, different for each provider that has it."""
        return key_hash(self.key, self.uid) if self.key else ""


def key_hash(key: str, uid: str) -> str:
    """The hash by which a status tells that a key was rotated."""
    return hmac.new(uid.encode(), key.encode(), hashlib.sha256).hexdigest()[:16]


@dataclass
class _Known:
    what: tuple[str, str]
    """URL and hash of the key: another one makes the answer worthless."""
    at: float
    answer: Answer = PENDING
    task: asyncio.Task[None] | None = None


class Prober:
    """The last answers of all providers."""

    def __init__(self, guard: Guard, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._session: aiohttp.ClientSession | None = None

    def look(self, target: Target) -> tuple[Answer, bool]:
        """The last answer, and whether a newer one is on its way."""
        what = (f"{target.spec.type} {target.spec.url}", target.key_hash)
        known = self._known.get(target.uid)
        if known is None or known.what != what:
            self._forget(target.uid)
            known = self._known[target.uid] = _Known(what, at=self._clock() - INTERVAL)
        if known.task is None and self._clock() - known.at >= INTERVAL:
            known.task = asyncio.get_running_loop().create_task(self._refresh(known, target))
        return known.answer, known.task is not None

    async def close(self) -> None:
        """End all probes."""
        running = [known.task for known in self._known.values() if known.task]
        for uid in list(self._known):
            self._forget(uid)
        await asyncio.gather(*running, return_exceptions=True)
        if self._session:
            await self._session.close()

    def _forget(self, uid: str) -> None:
        known = self._known.pop(uid, None)
        if known and known.task:
            known.task.cancel()
        if len(self._known) >= MOST_PROVIDERS:
            self._forget(next(iter(self._known)))

    async def _refresh(self, known: _Known, target: Target) -> None:
        async with self._slots:
            known.answer = await self._probe(target)
        known.at, known.task = self._clock(), None

    async def _probe(self, target: Target) -> Answer:
        try:
            self._guard.refuse_url(target.spec.url)
            async with self._client().get(
                models_url(target.spec), headers=_headers(target), allow_redirects=False
            ) as response:
                return judge(response.status, target.spec.url)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            return _failure(error, target.spec.url)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=GuardedResolver(self._guard), force_close=True, limit=CONCURRENT)
            timeout = aiohttp.ClientTimeout(total=TIMEOUT)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self._session


def models_url(spec: ModelProviderSpec) -> str:
    """Where the provider lists its models: the cheapest call that needs the key."""
    return f"{spec.url}/v1/models" if spec.type == ProviderType.ANTHROPIC else f"{spec.url}/models"


def judge(status: int, url: str) -> Answer:
    """What an HTTP status says. Many compatible servers have no list of models: any answer of theirs will do."""
    if status in (401, 403):
        return Answer("False", "KeyRefused", f"{url} refuses the API key with status {status}; check the Secret")
    if status >= 500:
        return Answer("False", "ProviderFailed", f"{url} answers with status {status}")
    if 300 <= status < 400:
        return Answer("False", "Redirected", f"{url} answers with a redirect; set baseUrl to where it leads")
    return Answer("True", "Answers", f"{url} answers")


def _headers(target: Target) -> dict[str, str]:
    if not target.key:
        return {}
    if target.spec.type == ProviderType.ANTHROPIC:
        return {"x-api-key": target.key, "anthropic-version": "2023-06-01"}
    return {"Authorization": f"Bearer {target.key}"}


def _failure(error: Exception, url: str) -> Answer:
    forbidden = error if isinstance(error, ForbiddenAddress) else _cause(error)
    if forbidden:
        return Answer("False", "AddressForbidden", f"{url} must not be called: {forbidden}; change baseUrl")
    if isinstance(error, TimeoutError):
        return Answer("False", "Unreachable", f"{url} does not answer within {TIMEOUT:g} seconds")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Answer("False", "Unreachable", f"The host name of {url} cannot be resolved")
    if isinstance(error, aiohttp.ClientSSLError):
        return Answer("False", "Unreachable", f"The TLS certificate of {url} is not accepted")
    return Answer("False", "Unreachable", f"{url} cannot be connected to")


def _cause(error: BaseException) -> ForbiddenAddress | None:
    """aiohttp wraps what a resolver raises."""
    found = getattr(error, "os_error", None) or error.__cause__
    return found if isinstance(found, ForbiddenAddress) else None
