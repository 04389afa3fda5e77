"""What is observed of a Tenant; `observe` reads it, the pure `desired` and `status` decide by it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["Pending", "Active", "Terminating", "Conflict", "Retained"]


@dataclass(frozen=True)
class NamespaceState:
    """A namespace of the tenant as it is."""

    name: str
    phase: Phase = "Pending"
    owner: str = ""
    """Whose the namespace is, when it is not ours."""
    used: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its ResourceQuota counts."""
    uncounted: bool = False
    """True until the quota controller has reported usage of every limit; creations are rejected until then."""
    recount: bool = False
    """Whether the quota controller counts without some limit, because it has not yet discovered the kind. It counts
    again when a quota is created or its limits change, and otherwise each five minutes."""


@dataclass(frozen=True)
class ObservedTenant:
    """The namespaces of the tenant, in its order, then those that are retained."""

    namespaces: tuple[NamespaceState, ...]
