"""What the authenticator remembers and for how long; with a clock and a lookup of the test's own."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from agentic_api.identity.api_keys import ApiKeys
from agentic_api.identity.authenticator import Authenticator
from agentic_api.identity.principal import Caller, PlatformAdmin, Principal, Proof
from agentic_core.auth import api_keys
from agentic_core.db import PLATFORM_TENANT
from agentic_core.db.functions import KeyRecord
from agentic_core.errors import Unauthenticated
from tests.support.clock import StoppedClock

PEPPER = b"pepper"
TENANT = UUID(int=7)


class Directory:
    """Keys by id, counting its lookups."""

    def __init__(self) -> None:
        self.keys: dict[str, KeyRecord] = {}
        self.lookups = 0

    async def find(self, key_id: str) -> KeyRecord | None:
        self.lookups += 1
        await asyncio.sleep(0)
        return self.keys.get(key_id)

    def add(
        self, *, tenant_id: UUID = TENANT, role: str = "viewer", expires_at: datetime | None = None
    ) -> api_keys.NewKey:
        key = api_keys.create()
        hashed = api_keys.digest(key, tenant_id=tenant_id, role=role, pepper=PEPPER)
        self.keys[key.id] = KeyRecord(tenant_id, "acme", role, hashed, expires_at, None)
        return key


GONE = UUID(int=8)
"""A tenant whose Tenant is deleted."""


def namespace_of(tenant_id: UUID, name: str) -> str | None:
    return None if tenant_id == GONE else f"{name}-x"


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def authenticator(clock: StoppedClock, directory: Directory) -> Authenticator:
    keys = ApiKeys(directory.find, pepper=PEPPER, ttl=3, clock=clock, default_namespace=namespace_of)
    return Authenticator([keys])


async def test_a_key_is_looked_up_once_in_a_while(
    authenticator: Authenticator, directory: Directory, clock: StoppedClock
) -> None:
    header = f"Bearer {directory.add().text}"
    callers = await asyncio.gather(*(authenticator.caller(header) for _ in range(50)))
    assert {caller.subject for caller in callers} == directory.keys.keys()
    assert directory.lookups == 1
    clock.at += 2.9
    await authenticator.caller(header)
    assert directory.lookups == 1
    clock.at += 0.2
    await authenticator.caller(header)
    assert directory.lookups == 2


async def test_the_secret_is_checked_each_time(authenticator: Authenticator, directory: Directory) -> None:
    key, other = directory.add(), directory.add()
    await authenticator.caller(f"Bearer {key.text}")
    with pytest.raises(Unauthenticated):
        await authenticator.caller(f"Bearer agk_{key.id}_{other.secret}")


async def test_expiry_is_looked_at_each_time(
    authenticator: Authenticator, directory: Directory, clock: StoppedClock
) -> None:
    key = directory.add(expires_at=datetime.fromtimestamp(clock.at + 1, UTC))
    await authenticator.caller(f"Bearer {key.text}")
    clock.at += 1
    with pytest.raises(Unauthenticated):
        await authenticator.caller(f"Bearer {key.text}")


async def test_a_key_gives_its_tenants_caller_or_the_platforms_admin(
    authenticator: Authenticator, directory: Directory
) -> None:
    key, admin = directory.add(role="invoker"), directory.add(tenant_id=PLATFORM_TENANT, role="platform-admin")
    assert await authenticator.caller(f"bearer {key.text}") == Principal(
        subject=key.id,
        proof=Proof.API_KEY,
        tenant_id=TENANT,
        tenant="acme",
        default_namespace="acme-x",
        roles=frozenset({api_keys.Role.INVOKER}),
    )
    assert await authenticator.caller(f"Bearer {admin.text}") == PlatformAdmin(subject=admin.id, proof=Proof.API_KEY)


async def test_a_key_of_a_tenant_that_is_gone_is_refused_though_its_record_is_cached(
    authenticator: Authenticator, directory: Directory
) -> None:
    key = directory.add(tenant_id=GONE)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        await authenticator.caller(f"Bearer {key.text}")


class Passwords:
    """A scheme of the test's own, for the credential `open`."""

    hint = "Authorization: Bearer open"

    async def caller(self, credential: str) -> Caller | None:
        return PlatformAdmin(subject="test", proof=Proof.API_KEY) if credential == "open" else None


async def test_the_first_scheme_that_recognises_a_credential_proves_the_caller(
    authenticator: Authenticator, directory: Directory, clock: StoppedClock
) -> None:
    keys = ApiKeys(directory.find, pepper=PEPPER, ttl=3, clock=clock, default_namespace=namespace_of)
    both = Authenticator([keys, Passwords()])
    assert (await both.caller("Bearer open")).subject == "test"
    assert (await both.caller(f"Bearer {(key := directory.add()).text}")).subject == key.id
    with pytest.raises(Unauthenticated):
        await both.caller("Bearer other")
    with pytest.raises(Unauthenticated, match=r"agk_.* or .*open"):
        await both.caller(None)
