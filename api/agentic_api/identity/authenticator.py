"""From the Authorization header to the caller. The auth dependency calls it for every request.

A key's record is looked up at most once in a few seconds; the presented secret is checked every time. So a revoked key
ends within `ttl` seconds on every replica, and a request costs one HMAC and no query.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentic_api.identity.principal import Caller, PlatformAdmin, Principal
from agentic_core.auth import api_keys
from agentic_core.auth.api_keys import Role
from agentic_core.clock import Clock
from agentic_core.db import PLATFORM_TENANT
from agentic_core.db.functions import KeyRecord
from agentic_core.errors import Unauthenticated
from agentic_core.web import bearer

CACHED_KEYS = 20_000
BLANK = bytes(32)
"""Compared with when the key is unknown, so that both refusals take the same time."""


Lookup = Callable[[str], Awaitable[KeyRecord | None]]
"""Finds a key by its id."""
DefaultNamespace = Callable[[str], str]
"""The default namespace of a tenant."""


@dataclass(frozen=True)
class _Cached:
    record: KeyRecord | None
    until: float


class Authenticator:
    """Checks API keys."""

    def __init__(
        self, lookup: Lookup, *, pepper: bytes, ttl: float, clock: Clock, default_namespace: DefaultNamespace
    ) -> None:
        self._lookup = lookup
        self._pepper = pepper
        self._ttl = ttl
        self._clock = clock
        self._default_namespace = default_namespace
        self._cache: OrderedDict[str, _Cached] = OrderedDict()
        self._pending: dict[str, asyncio.Task[KeyRecord | None]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """Who sends this header, or `Unauthenticated` that does not say which part was wrong."""
        key = _bearer(authorization)
        record = await self._record(key.id)
        matches = api_keys.matches(key.secret, record.hash if record else BLANK, pepper=self._pepper)
        if record is None or not matches or not self._in_force(record):
            raise unauthenticated("The API key is not valid: it is unknown, expired or revoked.")
        if record.tenant_id == PLATFORM_TENANT:
            return PlatformAdmin(key.id)
        namespace = self._default_namespace(record.tenant)
        return Principal(record.tenant_id, record.tenant, namespace, Role(record.role), key.id)

    def forget(self, key_id: str) -> None:
        """Look the key up again next time, because it changed here."""
        self._cache.pop(key_id, None)

    def _in_force(self, record: KeyRecord) -> bool:
        return record.revoked_at is None and (record.expires_at is None or record.expires_at > self._clock.now())

    async def _record(self, key_id: str) -> KeyRecord | None:
        cached = self._cache.get(key_id)
        if cached is not None and cached.until > self._clock.monotonic():
            return cached.record
        pending = self._pending.get(key_id)
        if pending is None:
            pending = self._pending[key_id] = asyncio.create_task(self._fetch(key_id))
            pending.add_done_callback(lambda _: self._pending.pop(key_id, None))
        return await asyncio.shield(pending)

    async def _fetch(self, key_id: str) -> KeyRecord | None:
        until = self._clock.monotonic() + self._ttl
        record = await self._lookup(key_id)
        self._cache[key_id] = _Cached(record, until)
        self._cache.move_to_end(key_id)
        if len(self._cache) > CACHED_KEYS:
            self._cache.popitem(last=False)
        return record


def _bearer(authorization: str | None) -> api_keys.NewKey:
    if authorization is None:
        raise unauthenticated("Send an API key: Authorization: Bearer agk_...")
    key = api_keys.parse(bearer.token(authorization) or "")
    if key is None:
        raise unauthenticated("The API key is not valid: it is unknown, expired or revoked.")
    return key


def unauthenticated(message: str) -> Unauthenticated:
    """A refusal that says how to authenticate."""
    error = Unauthenticated(message)
    error.headers["WWW-Authenticate"] = 'Bearer realm="agentic"'
    return error
