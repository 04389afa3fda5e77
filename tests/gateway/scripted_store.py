"""A store of usage that does what the test says, and queues before it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from agentic_core.db import uuid7
from agentic_gateway.ledger import CallOutcome, UsageRow
from agentic_gateway.metrics import GatewayMetrics
from agentic_gateway.settle.tenant_rows import QueuedRow
from agentic_gateway.settle.usage import RunTotals
from agentic_gateway.settle.usage_queue import UsageQueue


def row(tenant_id: UUID, **changed: Any) -> UsageRow:
    """Some row of a tenant."""
    made = UsageRow(
        id=uuid7(),
        tenant_id=tenant_id,
        run_id=uuid4(),
        provider="p",
        model="m",
        operation="chat",
        input_tokens=1,
        output_tokens=2,
        cost=Decimal("0.1"),
        estimated=False,
        status=CallOutcome.COMPLETED,
        created_at=datetime.now(UTC),
    )
    return replace(made, **changed)


class NoAccount:
    """Counts nothing."""

    def charged(self, row: UsageRow) -> None: ...
    def committed(self, row: UsageRow) -> None: ...
    def dead_lettered(self, row: UsageRow) -> None: ...


class RowRejected(asyncpg.CheckViolationError):  # type: ignore[misc]  # ships no type information
    """What a store says of a row that it cannot store."""


class ScriptedStore:
    """Keeps rows in memory; fails, rejects and waits when told to."""

    def __init__(self) -> None:
        self.batches: list[tuple[UUID, list[UsageRow]]] = []
        self.letters: list[UsageRow] = []
        self.poison: set[UUID] = set()
        """Ids of rows that are rejected."""
        self.failures = 0
        self.error: Exception = ConnectionError("the database is unavailable")
        self.letter_error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> Sequence[RunTotals]:
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise self.error
        if self.poison & {row.id for row in rows}:
            raise RowRejected("a row breaks a rule")
        self.batches.append((tenant_id, list(rows)))
        return []

    async def dead_letter(self, row: UsageRow, error: str) -> None:
        if self.letter_error:
            raise self.letter_error
        self.letters.append(row)

    @property
    def rows(self) -> list[UsageRow]:
        """All rows, in order."""
        return [row for _, rows in self.batches for row in rows]


def usage_queue(store: Any, **changed: Any) -> UsageQueue:
    values: dict[str, Any] = {"writers": 2, "backlog": 2000, "wait_seconds": 5, "metrics": GatewayMetrics()}
    return UsageQueue(store, on_totals=lambda _: None, **values | changed)


def add(queue: UsageQueue, *rows: UsageRow) -> list[QueuedRow]:
    return [queue.add(one, NoAccount()) for one in rows]


async def settle(queued: Sequence[QueuedRow]) -> None:
    for one in queued:
        await one
