"""The providers' keys: each read by a `get` of exactly its Secret, kept for seconds, never written anywhere."""

import asyncio
from base64 import b64decode
from binascii import Error as NotBase64
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from agentic_core.errors import PlatformError
from agentic_crds.model_provider import KEY_SECRET_TYPE
from agentic_gateway.problems import ProviderForbidden
from agentic_gateway.route.routing import Backend

MOST_KEYS: Final = 2_000


class Secrets(Protocol):
    """Reads single Secrets."""

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """The Secret as Kubernetes spells it; raises a `PlatformError` when it is not there or not ours to read."""
        ...


class Where(NamedTuple):
    """Where a key is. The Tenant belongs to it, so that the next one of its name gets no key of this one's."""

    tenant_id: str
    namespace: str
    name: str
    entry: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Key:
    """A provider's key as it was at a moment; `value` is None for a provider that needs none."""

    value: str | None = field(repr=False)
    read_at: float


class KeyRing:
    """Keeps keys for some seconds."""

    def __init__(self, secrets: Secrets, *, seconds: float) -> None:
        self._secrets = secrets
        self._seconds = seconds
        self._keys: OrderedDict[Where, Key] = OrderedDict()
        self._reading: dict[Where, asyncio.Task[Key]] = {}

    async def key(self, backend: Backend, *, newer_than: float = 0.0) -> Key:
        """The key of the backend's provider, read again when it is old or not newer than the given time."""
        ref = backend.provider.secret_ref
        if ref is None:
            return Key(None, monotonic())
        where = Where(backend.tenant_id, backend.namespace, ref.name, ref.key)
        known = self._keys.get(where)
        if known and known.read_at > newer_than and monotonic() - known.read_at < self._seconds:
            return known
        reading = self._reading.get(where)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._read(where))
            self._reading[where] = reading
            reading.add_done_callback(lambda _: self._reading.pop(where, None))
        return await asyncio.shield(reading)

    async def _read(self, where: Where) -> Key:
        started = monotonic()
        try:
            secret = await self._secrets.secret(where.namespace, where.name)
        except PlatformError as error:
            self._keys.pop(where, None)
            raise ProviderForbidden(f"The provider's Secret {where} cannot be read: {error.message}") from error
        key = Key(_value(secret, where), started)
        self._keys[where] = key
        if len(self._keys) > MOST_KEYS:
            self._keys.popitem(last=False)
        return key


def _value(secret: Mapping[str, Any], where: Where) -> str:
    if (kind := secret.get("type", KEY_SECRET_TYPE)) != KEY_SECRET_TYPE:
        raise ProviderForbidden(
            f"Secret {where} is of type {kind}; keys of providers are in Secrets of type {KEY_SECRET_TYPE}."
        )
    try:
        value = b64decode(secret["data"][where.entry], validate=True).decode("ascii").strip()
    except (KeyError, TypeError):
        raise ProviderForbidden(f"Secret {where} has no key {where.entry!r}; the provider needs it.") from None
    except (NotBase64, ValueError):
        value = ""
    if not value.isprintable() or not value:
        raise ProviderForbidden(f"Key {where.entry!r} of Secret {where} is no API key: it is empty or not text.")
    return value
