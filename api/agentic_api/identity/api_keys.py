"""API keys as a scheme of the authenticator.

A key's record is looked up at most once in a few seconds; the presented secret is checked every time. So a revoked key
ends within `ttl` seconds on every replica, and a request costs one HMAC and no query. The Tenant is looked up in the
catalog every time, by its uid: its keys end with it, and are no keys of the next Tenant of its name.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

from cachetools import TTLCache

from agentic_api.identity.authenticator import INVALID, unauthenticated
from agentic_api.identity.principal import Caller, PlatformAdmin, Principal, Proof
from agentic_core.auth import api_keys
from agentic_core.auth.api_keys import Role
from agentic_core.clock import Clock
from agentic_core.db import PLATFORM_TENANT
from agentic_core.db.functions import KeyRecord
from agentic_core.single_flight import SingleFlight

MAX_CACHED = 20_000
UNKNOWN = KeyRecord(PLATFORM_TENANT, "", "", bytes(32), None, None)
"""Compared with when the key is unknown, so that both refusals take the same time."""

Lookup = Callable[[str], Awaitable[KeyRecord | None]]
"""Finds a key by its id."""
DefaultNamespace = Callable[[UUID, str], str | None]
"""The default namespace of the Tenant with this uid and name; None when there is none, or it is being deleted."""


class ApiKeys:
    """Proves the holders of API keys."""

    hint = "Authorization: Bearer agk_..."

    def __init__(
        self, lookup: Lookup, *, pepper: bytes, ttl: float, clock: Clock, default_namespace: DefaultNamespace
    ) -> None:
        self._lookup = lookup
        self._pepper = pepper
        self._clock = clock
        self._default_namespace = default_namespace
        self._records: SingleFlight[str, KeyRecord | None] = SingleFlight(
            TTLCache(MAX_CACHED, ttl=ttl, timer=clock.monotonic)
        )

    async def caller(self, credential: str) -> Caller | None:
        """The key's tenant and role, or the platform's administrator."""
        key = api_keys.parse(credential)
        if key is None:
            return None
        record = await self._records.get(key.id, lambda: self._load(key.id))
        found = record or UNKNOWN
        matches = api_keys.matches(key, found.digest, tenant_id=found.tenant_id, role=found.role, pepper=self._pepper)
        if record is None or not matches or not self._in_force(record):
            raise unauthenticated(INVALID)
        if record.tenant_id == PLATFORM_TENANT:
            return PlatformAdmin(subject=key.id, proof=Proof.API_KEY)
        default_namespace = self._default_namespace(record.tenant_id, record.tenant)
        if default_namespace is None:
            raise unauthenticated(INVALID)
        return Principal(
            subject=key.id,
            proof=Proof.API_KEY,
            tenant_id=record.tenant_id,
            tenant=record.tenant,
            default_namespace=default_namespace,
            roles=frozenset({Role(record.role)}),
        )

    def forget(self, key_id: str) -> None:
        """Look the key up again next time, because it changed here."""
        self._records.forget(key_id)

    async def _load(self, key_id: str) -> KeyRecord | None:
        return await self._lookup(key_id)

    def _in_force(self, record: KeyRecord) -> bool:
        return record.revoked_at is None and (record.expires_at is None or record.expires_at > self._clock.now())
