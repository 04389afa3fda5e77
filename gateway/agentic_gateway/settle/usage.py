"""What a call cost, as the row that is kept of it. Pure; `relay` makes rows, `meter` has them written."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from agentic_core.auth.run_tokens import RunClaims
from agentic_core.db.ids import uuid7
from agentic_crds.model_provider import Price
from agentic_gateway.route.routing import Backend
from agentic_gateway.wires.base import Operation, Tokens

PER_TOKENS = Decimal(1_000_000)
"""Prices are for so many tokens."""
MOST = Decimal(999_999_999)
"""The highest cost of a call that its column holds: both prices and tokens are what tenants and providers say."""


class Outcome(StrEnum):
    """How an answer ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """The caller went away."""
    BROKEN = "broken"
    """The provider went away, or time was over."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One answer of a model."""

    id: UUID
    """Made here, so that a row written twice is kept once."""
    tenant_id: UUID
    run_id: UUID
    provider: str
    model: str
    operation: str
    input_tokens: int
    output_tokens: int
    cost: Decimal
    """US dollars."""
    estimated: bool
    """Whether the tokens are counted by us, for want of the provider's word."""
    status: Outcome
    created_at: datetime

    @property
    def tokens(self) -> int:
        """What counts against the limit of the run."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as the database has it."""

    run_id: UUID
    tokens: int
    """Tokens of all its calls, at all replicas."""
    running: bool
    """Whether it runs and nobody wants it to end."""


def cost(tokens: Tokens, price: Price) -> Decimal:
    """The price of these tokens in US dollars."""
    read = tokens.input + Decimal(tokens.surcharge)
    return min(MOST, (read * Decimal(price.input) + tokens.output * Decimal(price.output)) / PER_TOKENS)


def row(
    claims: RunClaims, backend: Backend, operation: Operation, *, tokens: Tokens, estimated: bool, outcome: Outcome
) -> UsageRow:
    """The row of an answer of `backend`, priced by its list at this moment."""
    return UsageRow(
        id=uuid7(),
        tenant_id=UUID(claims.tenant_id),
        run_id=UUID(claims.run_id),
        provider=backend.provider_name,
        model=backend.model.name,
        operation=operation.name,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cost=cost(tokens, backend.model.price),
        estimated=estimated,
        status=outcome,
        created_at=datetime.now(UTC),
    )
