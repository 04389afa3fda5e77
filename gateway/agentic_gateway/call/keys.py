"""The providers' keys: each read by a `get` of exactly its Secret, kept for seconds, never written anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from cachetools import TTLCache

from agentic_core.errors import PlatformError
from agentic_core.provider_keys import UnusableSecret, provider_key
from agentic_core.single_flight import SingleFlight
from agentic_gateway.problems import ProviderForbidden
from agentic_gateway.route.routing import Backend

MAX_KEYS: Final = 2_000


class SecretReader(Protocol):
    """Reads single Secrets."""

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """The Secret as Kubernetes spells it; raises a `PlatformError` when it is not there or not ours to read."""
        ...


class KeyLocation(NamedTuple):
    """KeyLocation a key is. The Tenant belongs to it, so that the next one of its name gets no key of this one's."""

    tenant_id: str
    namespace: str
    name: str
    entry: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class ProviderKey:
    """A provider's key as it was at a moment; `value` is None for a provider that needs none."""

    value: str | None = field(repr=False)
    read_at: float


class KeyRing:
    """Caches keys for some seconds; a key that many calls need at once is read once."""

    def __init__(self, secrets: SecretReader, *, seconds: float) -> None:
        self._secrets = secrets
        self._cache: TTLCache[KeyLocation, ProviderKey] = TTLCache(MAX_KEYS, ttl=seconds, timer=monotonic)
        self._flights = SingleFlight[KeyLocation, ProviderKey](self._cache)

    async def key(self, backend: Backend, *, newer_than: float = 0.0) -> ProviderKey:
        """The key of the backend's provider, read again when it is old or not newer than the given time."""
        ref = backend.provider.secret_ref
        if ref is None:
            return ProviderKey(None, monotonic())
        where = KeyLocation(backend.tenant_id, backend.namespace, ref.name, ref.key)
        cached = self._cache.get(where)
        if cached is not None:
            if cached.read_at > newer_than:
                return cached
            self._flights.forget(where)
        return await self._flights.get(where, lambda: self._read(where))

    async def _read(self, where: KeyLocation) -> ProviderKey:
        started = monotonic()
        try:
            secret = await self._secrets.secret(where.namespace, where.name)
        except PlatformError as error:
            raise ProviderForbidden(f"The provider's Secret {where} cannot be read: {error.message}") from error
        try:
            value = provider_key(secret, where.entry, namespace=where.namespace, name=where.name)
        except UnusableSecret as error:
            raise ProviderForbidden(f"{error.message}.") from error
        return ProviderKey(value, started)
