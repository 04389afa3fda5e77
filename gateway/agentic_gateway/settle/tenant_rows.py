"""The rows of one tenant that are on their way to the database: queued ones, and batches that it rejected. Pure.

The usage queue has one `TenantRows` for each tenant whose rows are not committed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol
from uuid import UUID

from agentic_gateway.ledger import UsageRow


class Account(Protocol):
    """Where a row counts from the moment that it is queued."""

    def charged(self, row: UsageRow) -> None:
        """The row is queued."""
        ...

    def committed(self, row: UsageRow) -> None:
        """The row is in the database."""
        ...

    def dead_lettered(self, row: UsageRow) -> None:
        """The row will never be in the usage table."""
        ...


class QueuedRow:
    """A row that is not committed yet. To await it is to wait for its commit."""

    __slots__ = ("_wait", "account", "finished", "row", "since")

    def __init__(self, row: UsageRow, account: Account, wait: "Callable[[QueuedRow], Awaitable[None]]") -> None:
        self.row = row
        self.account = account
        self.since = monotonic()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the row is committed or a dead letter."""
        self._wait = wait

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait(self).__await__()

    def finish(self) -> None:
        """Nobody has to wait for it any more."""
        if not self.finished.done():
            self.finished.set_result(None)


@dataclass(eq=False, slots=True)
class Batch:
    """Rows of one tenant that are tried in one transaction."""

    tenant_id: UUID
    rows: list[QueuedRow]
    errors: int = 0
    """How often the database rejected it, or what it was a part of."""
    rejected: bool = False
    """Whether it, or what it was a part of, has ever been rejected."""

    def halves(self, max_errors: int) -> "list[Batch]":
        """Two batches that are halved again when they are rejected once; a row that stands alone is tried anew."""
        middle = len(self.rows) // 2
        parts = self.rows[:middle], self.rows[middle:]
        return [Batch(self.tenant_id, part, max_errors - 1 if len(part) > 1 else 0, rejected=True) for part in parts]


class TenantRows:
    """What waits of one tenant.

    Invariants: a batch that was rejected is never joined with other rows; rejected batches and queued rows take turns,
    so that neither waits for all of the other.
    """

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.pending = 0
        """Rows that are neither committed nor dead letters, those in a transaction included."""
        self.busy = False
        """Whether it has a turn, a batch in a transaction, or a pause after a failure: it gets no other turn then."""
        self.failures = 0
        """How often in a row its batches failed for what is not about their rows."""
        self._queued: list[QueuedRow] = []
        self._rejected: deque[Batch] = deque()
        self._rejected_next = False

    @property
    def waiting(self) -> bool:
        """Whether there is a batch to be tried."""
        return bool(self._queued or self._rejected)

    def add(self, queued: QueuedRow) -> None:
        """A new row."""
        self._queued.append(queued)

    def put_back(self, batch: Batch) -> None:
        """A batch that was not committed: in front, unless it was rejected."""
        if batch.rejected:
            self._rejected.append(batch)
        else:
            self._queued[:0] = batch.rows

    def take(self, max_rows: int) -> Batch:
        """The batch that is tried next; one must be waiting."""
        rejected = bool(self._rejected) and (self._rejected_next or not self._queued)
        self._rejected_next = not rejected
        if rejected:
            return self._rejected.popleft()
        batch = Batch(self.tenant_id, self._queued[:max_rows])
        del self._queued[:max_rows]
        return batch

    def rows(self) -> list[UsageRow]:
        """All rows that wait."""
        queued = [*self._queued, *(one for batch in self._rejected for one in batch.rows)]
        return [one.row for one in queued]
