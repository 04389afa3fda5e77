"""The ledger that holds the token limits of runs: balances in memory, rows in the usage queue.

The composition root puts it behind the `Ledger` port. An ordinary call needs no round trip to be reserved.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager

from agentic_gateway.ledger import Reservation, Spender, UsageRow, WorstCase
from agentic_gateway.problems import RunEnded
from agentic_gateway.reserve.run_balances import RunBalance, RunBalances
from agentic_gateway.settle.usage_queue import UsageQueue


class RunReservation:
    """A part of a run's balance.

    Invariants: it is settled or released once, by the holder or by the end of its block; `settle` returns the reserved
    tokens and charges the used ones without an await between.
    """

    def __init__(self, balance: RunBalance, queue: UsageQueue, worst_case: WorstCase) -> None:
        self._balance = balance
        self._queue = queue
        self.output_tokens = balance.reserve(worst_case)
        self._reserved = worst_case.prompt_tokens + self.output_tokens
        self.ended = False

    def charge(self, row: UsageRow) -> None:
        """Record what a failed attempt cost; the reservation goes on."""
        self._queue.add(row, self._balance)

    def settle(self, row: UsageRow) -> Awaitable[None]:
        """Replace what was reserved by what was used."""
        self.release()
        return self._queue.add(row, self._balance)

    def release(self) -> None:
        """Give back what was reserved."""
        if self.ended:
            raise RuntimeError("the reservation was settled or released before")
        self.ended = True
        self._balance.unreserve(self._reserved)


class RunLedger:
    """Reserves for runs, within the token limit of each."""

    def __init__(self, balances: RunBalances, queue: UsageQueue) -> None:
        self._balances = balances
        self._queue = queue

    @asynccontextmanager
    async def reserve(self, spender: Spender, worst_case: WorstCase) -> AsyncGenerator[Reservation]:
        """Reserve the worst case for a block, which is cancelled, and raises `RunEnded`, when the run ends."""
        if spender.run is None:
            raise ValueError("only runs can spend")
        self._queue.check_room(spender.tenant_id)
        balance = await self._balances.current(spender.tenant_id, spender.run)
        # No await from here to the block: others would be granted the same tokens, and a cancellation would lose them.
        reservation = RunReservation(balance, self._queue, worst_case)
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 - coroutines run in tasks
        balance.began(call)
        try:
            yield reservation
        except asyncio.CancelledError:
            if not balance.running and call.uncancel() == 0:
                raise RunEnded(f"Run {balance.run_id} has ended, and this call with it.") from None
            raise
        finally:
            balance.ended(call)
            if not reservation.ended:
                reservation.release()
