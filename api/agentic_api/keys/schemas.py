"""API keys as JSON."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentic_core.auth.api_keys import Role

TenantName = Annotated[str, Field(min_length=1, max_length=30, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]


class NewKeyBody(BaseModel):
    """A key to make."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"name": "ci", "role": "developer", "expires_in": 2592000}]},
    )

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """What the key is for, shown to people."""
    role: Role
    """What the key may do: owner, developer, invoker or viewer; platform-admin by a platform admin only."""
    expires_in: Annotated[int, Field(ge=1, le=315360000)] | None = None
    """Seconds after which the key stops working; never when empty."""
    tenant: TenantName | None = None
    """Name of the tenant; a platform admin has to say it, others have their own."""


class KeyView(BaseModel):
    """A key, without its secret."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    """Id of the key."""
    prefix: str
    """What the key begins with, to distinguish it from others."""
    name: str
    """What the key is for."""
    role: Role
    """What the key may do."""
    created_at: datetime
    """When it was made."""
    expires_at: datetime | None
    """When it stops working by itself."""
    revoked_at: datetime | None
    """When it was revoked."""


class CreatedKey(KeyView):
    """A key at the only moment when its secret is shown."""

    key: Annotated[str, Field(repr=False)]
    """The key itself: send it as `Authorization: Bearer <key>`. It cannot be shown again."""
