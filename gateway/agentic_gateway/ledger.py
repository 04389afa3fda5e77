"""The port through which everything spends: who spends, what is reserved before, what it cost after.

The flow of a call reserves and settles through it; the composition root decides which ledger is behind it.
"""

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Purpose(StrEnum):
    """What is paid for."""

    RUN = "run"
    """The model calls of a run."""


@dataclass(frozen=True, slots=True)
class SpendingRun:
    """A run that spends, as its token describes it."""

    id: UUID
    max_tokens: int
    """Tokens that all its calls together may use."""
    running_at: float
    """When it was running for sure, by the wall clock: when its token was signed."""


@dataclass(frozen=True, slots=True)
class Spender:
    """On whose account something is spent. All of it comes from a verified credential."""

    tenant_id: UUID
    principal: str
    """Subject of the credential."""
    agent: str | None
    run: SpendingRun | None
    """None for what is spent outside of runs."""
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most that a call may use."""

    prompt_tokens: int
    """About what the model reads; not negotiable."""
    output_tokens: int
    """What the model may write; fewer may be granted."""


class CallOutcome(StrEnum):
    """How a response ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """The caller disconnected."""
    BROKEN = "broken"
    """The provider disconnected, or the time was over."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one call used and cost."""

    id: UUID
    """Made here, so that a row written twice is kept once."""
    tenant_id: UUID
    run_id: UUID | None
    provider: str
    model: str
    operation: str
    input_tokens: int
    output_tokens: int
    cost: Decimal
    """US dollars."""
    estimated: bool
    """Whether the tokens are counted by us, because the provider did not report them."""
    status: CallOutcome
    created_at: datetime

    @property
    def tokens(self) -> int:
        """What counts against the limit of the run."""
        return self.input_tokens + self.output_tokens


class Reservation(Protocol):
    """What one call may spend. Exactly one of `settle` and `release` ends it."""

    @property
    def output_tokens(self) -> int:
        """What is granted of the output tokens that were wanted."""
        ...

    def charge(self, row: UsageRow) -> None:
        """Record what a failed attempt cost; the reservation goes on."""
        ...

    def settle(self, row: UsageRow) -> Awaitable[None]:
        """Replace what was reserved by what was used. The row is recorded whether or not the result is awaited.

        The awaitable ends when the row is committed; or, when that takes too long or cannot be, once it is in the log
        or among the dead letters.
        """
        ...

    def release(self) -> None:
        """Give back what was reserved: nothing more was used."""
        ...


class Ledger(Protocol):
    """Holds what spenders may spend and records what they spent."""

    def reserve(self, spender: Spender, worst_case: WorstCase) -> AbstractAsyncContextManager[Reservation]:
        """Reserve the worst case for a block; at its end, what was not settled is released.

        Raises `TokensUsedUp`, `RunEnded`, `RunUnknown` or `UsageBacklog` and has reserved nothing then. When the
        spender may spend no more, the block is cancelled and raises `RunEnded`.
        """
        ...
