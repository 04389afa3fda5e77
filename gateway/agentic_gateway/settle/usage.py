"""What a call cost, as the row that is stored of it, and what runs have used in all. Pure; the flow makes rows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from agentic_core.db.ids import uuid7
from agentic_crds.model_provider import Price
from agentic_gateway.ledger import CallOutcome, Spender, UsageRow
from agentic_gateway.route.routing import Backend
from agentic_gateway.wires.base import Operation, Tokens

PER_TOKENS: Final = Decimal(1_000_000)
"""Prices are for so many tokens."""
MAX_COST: Final = Decimal(999_999_999)
"""The highest cost of a call that its column holds: tenants set prices, and providers report tokens."""


@dataclass(frozen=True, slots=True)
class RunTotals:
    """A run as the database has it."""

    run_id: UUID
    tokens: int
    """Tokens of all its calls, at all replicas."""
    running: bool
    """Whether it is running and its end was not requested."""


def cost(tokens: Tokens, price: Price) -> Decimal:
    """The price of these tokens in US dollars."""
    read = tokens.input + Decimal(tokens.surcharge)
    return min(MAX_COST, (read * Decimal(price.input) + tokens.output * Decimal(price.output)) / PER_TOKENS)


def row(
    spender: Spender, backend: Backend, operation: Operation, *, tokens: Tokens, estimated: bool, outcome: CallOutcome
) -> UsageRow:
    """The row of a response of `backend`, priced by its list at this moment."""
    return UsageRow(
        id=uuid7(),
        tenant_id=spender.tenant_id,
        run_id=spender.run.id if spender.run else None,
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
