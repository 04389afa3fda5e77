"""What is observed of a ModelProvider; `observe` reads it, the pure `desired` and `status` decide by it."""

from dataclasses import dataclass
from typing import Literal

from agentic_core.conditions import State
from agentic_core.provider_keys import Reason

KeyState = Literal["NotNeeded", "Found", "NotPermitted", "SecretMissing"] | Reason


@dataclass(frozen=True)
class ObservedKey:
    """The provider's API key; the key itself stays in the probe."""

    state: KeyState
    hash: str | None = None
    problem: str = ""
    """What is wrong with a Secret that exists."""


@dataclass(frozen=True)
class ProbeResult:
    """What a probe of the provider found."""

    status: State
    reason: str
    message: str


PENDING = ProbeResult("Unknown", "Probing", "The provider is being called for the first time")


@dataclass(frozen=True)
class ObservedProvider:
    """What a provider needs, and how it is."""

    tenant: str | None
    key: ObservedKey
    probe: ProbeResult | None = None
    """Whether the provider responds; None when it cannot be probed."""
    probing: bool = False
    """Whether a newer result is on its way."""
