"""API keys: `agk_<id>_<secret>`, kept as a keyed hash. The api makes and checks them."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

PURPOSE = b"agentic api key"
PATTERN = re.compile(r"agk_([a-z2-7]{16})_([A-Za-z0-9_-]{43})")


class Role(StrEnum):
    """What a credential may do, from most to least."""

    PLATFORM_ADMIN = "platform-admin"
    """Manages keys of all tenants; belongs to no tenant and sees no tenant's data."""
    OWNER = "owner"
    """All of a tenant, keys included."""
    DEVELOPER = "developer"
    """Writes agents, and runs them."""
    INVOKER = "invoker"
    """Runs agents."""
    VIEWER = "viewer"
    """Reads."""


RANK = {Role.OWNER: 4, Role.DEVELOPER: 3, Role.INVOKER: 2, Role.VIEWER: 1, Role.PLATFORM_ADMIN: 0}
"""Order of the roles inside a tenant; the platform admin has none there."""


@dataclass(frozen=True)
class NewKey:
    """A key at the only moment when its secret is known."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What the client sends as bearer token."""
        return f"agk_{self.id}_{self.secret}"


def create() -> NewKey:
    """A fresh key: 80 random bits of id, 256 of secret."""
    return NewKey(base64.b32encode(secrets.token_bytes(10)).decode().lower(), secrets.token_urlsafe(32))


def parse(text: str) -> NewKey | None:
    """The parts of a presented key, None when it cannot be one."""
    match = PATTERN.fullmatch(text)
    return NewKey(match[1], match[2]) if match else None


def digest(key: NewKey, *, tenant_id: UUID, role: str, pepper: bytes) -> bytes:
    """The keyed hash under which a key is kept: HMAC-SHA256 of all that the key's row says of its power.

    So it matches in no other row, whoever may write rows. The secret is random, so no slow hash is needed. Each part is
    preceded by its length, so that no two rows have the same text.
    """
    parts = (PURPOSE, key.id.encode(), tenant_id.bytes, role.encode(), key.secret.encode())
    return hmac.digest(pepper, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")


def matches(key: NewKey, stored: bytes, *, tenant_id: UUID, role: str, pepper: bytes) -> bool:
    """Whether the presented key is the one of this row, in constant time."""
    return hmac.compare_digest(digest(key, tenant_id=tenant_id, role=role, pepper=pepper), stored)
