"""The ledger of runs, in memory: what it grants, counts and cuts, whatever happens at the same moment."""

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from agentic_core.clock import Clock
from agentic_core.db.ids import uuid7
from agentic_gateway.ledger import CallOutcome, Purpose, Reservation, Spender, SpendingRun, UsageRow, WorstCase
from agentic_gateway.metrics import GatewayMetrics
from agentic_gateway.problems import RunEnded, RunUnknown, TokensUsedUp, UsageBacklog
from agentic_gateway.reserve.run_balances import RunBalances, RunWatch
from agentic_gateway.reserve.run_ledger import RunLedger
from agentic_gateway.settle.usage import RunTotals
from agentic_gateway.settle.usage_queue import UsageQueue

LIMIT = 1000
TENANT = UUID(int=7)


class SetClock(Clock):
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 28, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.time += timedelta(seconds=seconds)


class MemoryStore:
    """Sums rows by run, and returns other totals when the test sets them."""

    def __init__(self) -> None:
        self.rows: list[UsageRow] = []
        self.unavailable = False
        self.others: dict[UUID, int] = {}
        """What other replicas have committed."""
        self.ended: set[UUID] = set()
        self.queries = 0
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, tenant_id: UUID, rows: Sequence[UsageRow]) -> Sequence[RunTotals]:
        await self.open.wait()
        if self.unavailable:
            raise ConnectionError("the database is unavailable")
        self.rows += rows
        return self._of([row.run_id for row in rows if row.run_id])

    async def totals(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Sequence[RunTotals]:
        self.queries += 1
        if self.unavailable:
            raise ConnectionError("the database is unavailable")
        return self._of(run_ids)

    async def dead_letter(self, row: UsageRow, error: str) -> None:
        raise AssertionError("nothing is rejected here")

    def _of(self, run_ids: Sequence[UUID]) -> list[RunTotals]:
        own = {run: sum(row.tokens for row in self.rows if row.run_id == run) for run in run_ids}
        return [RunTotals(run, own[run] + self.others.get(run, 0), running=run not in self.ended) for run in run_ids]


class Bench:
    """A ledger over a store in memory."""

    def __init__(self, *, backlog: int = 1000, max_runs: int = 100) -> None:
        self.store = MemoryStore()
        self.clock = SetClock()
        self.balances = RunBalances(self.store, clock=self.clock, watch=RunWatch(max_runs=max_runs))
        self.queue = UsageQueue(
            self.store,
            GatewayMetrics(),
            on_totals=self.balances.update,
            writers=2,
            backlog=backlog,
            wait_seconds=5,
        )
        self.ledger = RunLedger(self.balances, self.queue)

    def spender(self, *, age: float = 0) -> Spender:
        """A new run, whose token was signed so many seconds ago."""
        run = SpendingRun(uuid4(), LIMIT, running_at=self.clock.now().timestamp() - age)
        return Spender(TENANT, f"run:{run.id}", "helper", run, Purpose.RUN)

    async def granted(self, spender: Spender, prompt: int = 10, wanted: int = 5000) -> int:
        """What a call would be granted now."""
        async with self.ledger.reserve(spender, WorstCase(prompt, wanted)) as reservation:
            return reservation.output_tokens


def row(spender: Spender, tokens: int) -> UsageRow:
    """A row of a run that used so many tokens."""
    run = spender.run
    return UsageRow(
        id=uuid7(),
        tenant_id=spender.tenant_id,
        run_id=run.id if run else None,
        provider="p",
        model="m",
        operation="chat",
        input_tokens=tokens,
        output_tokens=0,
        cost=Decimal(0),
        estimated=False,
        status=CallOutcome.COMPLETED,
        created_at=datetime.now(UTC),
    )


async def test_a_run_that_has_just_begun_is_not_looked_up() -> None:
    bench = Bench()
    assert await bench.granted(bench.spender(), prompt=100) == 900
    assert bench.store.queries == 0


@pytest.mark.parametrize("age", [0, 60], ids=["fresh", "looked up first"])
async def test_calls_at_once_are_never_granted_more_than_is_left(age: float) -> None:
    bench = Bench()
    spender = bench.spender(age=age)
    go_on = asyncio.Event()
    granted: list[int] = []

    async def call() -> None:
        async with bench.ledger.reserve(spender, WorstCase(50, 100)) as reservation:
            granted.append(50 + reservation.output_tokens)
            await go_on.wait()

    calls = [asyncio.create_task(call()) for _ in range(50)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    assert sum(granted) == LIMIT
    go_on.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, TokensUsedUp) for result in results) == 50 - len(granted)
    assert await bench.granted(spender) == LIMIT - 10, "all of it is released"


async def test_what_is_settled_counts_from_then_on_and_once() -> None:
    """While its row waits, in the step in which it is committed, and afterwards."""
    bench = Bench()
    spender = bench.spender()
    bench.store.open.clear()
    async with bench.ledger.reserve(spender, WorstCase(100, 500)) as reservation:
        assert await bench.granted(spender) == 390
        committed = reservation.settle(row(spender, 200))
        assert await bench.granted(spender) == 790
        seen: list[int] = []

        async def observe() -> None:
            while True:
                seen.append(await bench.granted(spender))
                await asyncio.sleep(0)

        observing = asyncio.create_task(observe())
        bench.store.open.set()
        await committed
        observing.cancel()
    assert set(seen) <= {790}
    assert await bench.granted(spender) == 790


async def test_failed_attempts_are_charged_and_do_not_end_the_reservation() -> None:
    bench = Bench()
    spender = bench.spender()
    async with bench.ledger.reserve(spender, WorstCase(100, 400)) as reservation:
        reservation.charge(row(spender, 100))
        assert await bench.granted(spender) == 390
        await reservation.settle(row(spender, 300))
    assert [one.tokens for one in bench.store.rows] == [100, 300]
    assert await bench.granted(spender) == 590


@pytest.mark.parametrize("end", ["settle", "release"])
async def test_a_reservation_ends_once(end: str) -> None:
    bench = Bench()
    spender = bench.spender()

    def finish(reservation: Reservation) -> None:
        if end == "settle":
            reservation.settle(row(spender, 1))
        else:
            reservation.release()

    async with bench.ledger.reserve(spender, WorstCase(100, 400)) as reservation:
        finish(reservation)
        for again in (reservation.release, lambda: reservation.settle(row(spender, 1))):
            with pytest.raises(RuntimeError, match="before"):
                again()
    await bench.queue.aclose()
    assert await bench.granted(spender) == (989 if end == "settle" else 990)


@pytest.mark.parametrize("error", [ValueError("a bug"), asyncio.CancelledError()], ids=["failed", "cancelled"])
async def test_what_a_call_did_not_settle_is_released(error: BaseException) -> None:
    bench = Bench()
    spender = bench.spender()
    with pytest.raises(type(error)):
        async with bench.ledger.reserve(spender, WorstCase(100, 900)):
            raise error
    assert await bench.granted(spender) == 990


@pytest.mark.parametrize("age", [0, 60], ids=["fresh", "looked up first"])
@pytest.mark.parametrize("steps", range(6))
async def test_a_call_that_is_cancelled_at_any_step_leaves_nothing_reserved(steps: int, age: float) -> None:
    bench = Bench()
    spender = bench.spender(age=age)

    async def call() -> None:
        async with bench.ledger.reserve(spender, WorstCase(100, 900)):
            await asyncio.Event().wait()

    calling = asyncio.create_task(call())
    for _ in range(steps):
        await asyncio.sleep(0)
    calling.cancel()
    await asyncio.wait([calling])
    assert calling.cancelled()
    assert await bench.granted(spender) == 990


async def test_while_the_database_is_unavailable_cached_runs_go_on_and_others_wait() -> None:
    bench = Bench()
    cached = bench.spender()
    await bench.granted(cached)
    bench.store.unavailable = True
    bench.clock.advance(60)
    assert await bench.granted(cached) == 990
    assert bench.store.queries == 1
    with pytest.raises(RunUnknown):
        await bench.granted(bench.spender(age=60))


async def test_what_other_replicas_committed_counts() -> None:
    bench = Bench()
    spender = bench.spender(age=60)
    assert spender.run
    bench.store.others[spender.run.id] = 985
    assert await bench.granted(spender, prompt=10) == 5
    bench.store.others[spender.run.id] = 990
    bench.clock.advance(60)
    with pytest.raises(TokensUsedUp, match="about 10 left"):
        await bench.granted(spender, prompt=10)


async def test_a_call_is_cut_when_its_run_ends_and_tells_why_however_often_that_is_reported() -> None:
    bench = Bench()
    spender = bench.spender()
    assert spender.run

    async def call() -> None:
        async with bench.ledger.reserve(spender, WorstCase(1, 1)):
            await asyncio.Event().wait()

    calling = asyncio.create_task(call())
    await asyncio.sleep(0)
    bench.balances.update([RunTotals(spender.run.id, 0, running=False)] * 2)
    with pytest.raises(RunEnded):
        await calling
    with pytest.raises(RunEnded):
        await bench.granted(spender)


async def test_a_run_that_is_calling_or_has_rows_queued_is_not_evicted() -> None:
    bench = Bench(max_runs=3)
    calling, queued = bench.spender(), bench.spender()
    bench.store.open.clear()
    async with bench.ledger.reserve(queued, WorstCase(1, 1)) as reservation:
        reservation.settle(row(queued, 400))
    async with bench.ledger.reserve(calling, WorstCase(1, 699)):
        for _ in range(10):
            await bench.granted(bench.spender())
        assert await bench.granted(calling, prompt=0) == 300
        assert await bench.granted(queued, prompt=0) == 600
    bench.store.open.set()
    await bench.queue.aclose()
    del reservation
    gc.collect()
    assert len(bench.balances._balances) == 3, "memory is bounded"


async def test_a_tenant_with_a_full_backlog_reserves_nothing() -> None:
    bench = Bench(backlog=1)
    spender = bench.spender()
    bench.store.open.clear()
    async with bench.ledger.reserve(spender, WorstCase(1, 1)) as reservation:
        committed = reservation.settle(row(spender, 2))
    with pytest.raises(UsageBacklog):
        await bench.granted(spender)
    other = replace(bench.spender(), tenant_id=UUID(int=8))
    assert await bench.granted(other) == 990, "another tenant's rows are no reason to refuse this one"
    bench.store.open.set()
    await committed
    assert await bench.granted(spender) == 988


async def test_only_runs_can_spend() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="only runs"):
        await bench.granted(replace(bench.spender(), run=None))
