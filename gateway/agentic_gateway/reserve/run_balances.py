"""What each run may still use, as far as is known here; the ledger reserves with it, the usage queue reports to it.

Nothing in it is older than some seconds when a call begins: a token that has just been signed shows that its run was
running then, each commit of usage returns what the run has used at all replicas and whether it is running, and the
database is queried only where neither is recent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID
from weakref import WeakValueDictionary

from cachetools import LRUCache

from agentic_core import telemetry
from agentic_core.clock import Clock
from agentic_core.db import faults
from agentic_gateway.ledger import SpendingRun, UsageRow, WorstCase
from agentic_gateway.problems import RunEnded, RunUnknown, TokensUsedUp
from agentic_gateway.settle.usage import RunTotals

LOG = telemetry.logger(__name__)


@dataclass(frozen=True)
class RunWatch:
    """How closely the runs that spend are watched."""

    fresh_seconds: float = 5.0
    """How old what is known about a run may be when a call begins."""
    interval_seconds: float = 5.0
    """How often runs with calls in progress are looked up: about how long a call outlives its run."""
    max_runs: int = 10_000
    """Runs cached; one that was evicted is looked up with its next call."""


class RunTotalsReader(Protocol):
    """Where the totals of runs are stored."""

    async def totals(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Sequence[RunTotals]:
        """The totals of runs of one tenant, whether they exist or not."""
        ...


class RunBalance:
    """What one run may still use.

    Invariants:
    - `reserve` grants at most what is left and reserves it in one step: no await between grant and spending.
    - Every token is counted once from its reservation to its commit: what is settled becomes uncommitted, and what is
      committed becomes used, in one step each.
    - A call in progress is cancelled at most once, so that it can report why.
    """

    def __init__(self, tenant_id: UUID, run_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.run_id = run_id
        self.max_tokens = 0
        self.known_at = 0.0
        """When what is known was true, by the wall clock; 0 when nothing is."""
        self.running = True
        self._used = 0
        """What the database has counted, all replicas included."""
        self._uncommitted = 0
        """Used by calls of this replica whose rows are queued."""
        self._dead = 0
        """Used by calls whose rows the database will never count."""
        self._reserved = 0
        """The worst case of the calls in progress."""
        self._calls: set[asyncio.Task[object]] = set()

    @property
    def left(self) -> int:
        """Tokens that a call may use that begins now."""
        return self.max_tokens - self._used - self._uncommitted - self._dead - self._reserved

    @property
    def calling(self) -> bool:
        """Whether calls are in progress."""
        return bool(self._calls)

    def reserve(self, worst_case: WorstCase) -> int:
        """Reserve a prompt, and as much output as is wanted and left; returns the output tokens."""
        if not self.running:
            raise RunEnded(f"Run {self.run_id} has ended; its token is good for no more calls.")
        prompt, wanted = worst_case.prompt_tokens, worst_case.output_tokens
        left = self.left - prompt
        if left < min(wanted, 1):
            raise TokensUsedUp(
                f"The run may use {self.max_tokens} tokens and has about {max(0, self.left)} left, calls in progress"
                f" counted; this call needs about {prompt} for its prompt alone. Raise limits.maxTokens of the agent"
                " or send less."
            )
        granted = min(wanted, left)
        self._reserved += prompt + granted
        return granted

    def unreserve(self, tokens: int) -> None:
        """The reserved tokens were settled or released."""
        self._reserved -= tokens

    def began(self, call: asyncio.Task[object]) -> None:
        """This call is to be cancelled when the run ends."""
        self._calls.add(call)

    def ended(self, call: asyncio.Task[object]) -> None:
        """The call is over."""
        self._calls.discard(call)

    def charged(self, row: UsageRow) -> None:
        """A call has used something; its row is queued."""
        self._uncommitted += row.tokens

    def committed(self, row: UsageRow) -> None:
        """The row is in the database; the totals that `update` gets from now on include it."""
        self._uncommitted -= row.tokens

    def dead_lettered(self, row: UsageRow) -> None:
        """The row will never be in the totals."""
        self._uncommitted -= row.tokens
        self._dead += row.tokens

    def update(self, totals: RunTotals, now: float) -> None:
        """The totals as the database has them; sums only grow, so of two the larger is the later."""
        self.known_at = max(self.known_at, now)
        self._used = max(self._used, totals.tokens)
        if self.running and not totals.running:
            self.running = False
            for call in self._calls:
                call.cancel()


class RunBalances:
    """The balances of all runs that call here.

    Invariant: a run has one balance as long as a reservation or a queued row refers to it; besides, as long as it is
    among the `max_runs` used last.
    """

    def __init__(self, reader: RunTotalsReader, *, clock: Clock, watch: RunWatch = RunWatch()) -> None:
        self._reader = reader
        self._watch = watch
        self._clock = clock
        self._balances: WeakValueDictionary[UUID, RunBalance] = WeakValueDictionary()
        self._recent: LRUCache[UUID, RunBalance] = LRUCache(watch.max_runs)

    async def current(self, tenant_id: UUID, run: SpendingRun) -> RunBalance:
        """The balance of a run, as of some seconds ago at most."""
        balance = self._balances.get(run.id)
        if balance is None:
            balance = self._balances[run.id] = RunBalance(tenant_id, run.id)
        self._recent[run.id] = balance
        balance.max_tokens = run.max_tokens
        now = self._now()
        fresh = self._watch.fresh_seconds
        if not balance.known_at and now - run.running_at < fresh:
            balance.known_at = run.running_at
        if now - balance.known_at > fresh:
            await self._look_up(balance)
        return balance

    def update(self, totals: Sequence[RunTotals]) -> None:
        """What the database has just returned about runs."""
        now = self._now()
        for run in totals:
            balance = self._balances.get(run.run_id)
            if balance is not None:
                balance.update(run, now)

    async def watch(self) -> None:
        """Look up, for ever, the runs with calls in progress, so that those calls end with them."""
        while True:
            await asyncio.sleep(self._watch.interval_seconds)
            try:
                for tenant_id, run_ids in self._stale().items():
                    self.update(await self._reader.totals(tenant_id, run_ids))
            except Exception as error:
                LOG.warning("run totals unavailable", exc_info=not faults.is_unavailable(error))

    def _stale(self) -> dict[UUID, list[UUID]]:
        """The runs with calls in progress that no commit has reported lately, by tenant."""
        oldest = self._now() - self._watch.interval_seconds
        stale: dict[UUID, list[UUID]] = {}
        for balance in list(self._balances.values()):
            if balance.calling and balance.known_at < oldest:
                stale.setdefault(balance.tenant_id, []).append(balance.run_id)
        return stale

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _look_up(self, balance: RunBalance) -> None:
        """Query the database. While it is unavailable, cached runs go on, as their rows wait too."""
        try:
            self.update(await self._reader.totals(balance.tenant_id, [balance.run_id]))
        except Exception as error:
            if not faults.is_unavailable(error):
                raise
            if not balance.known_at:
                raise RunUnknown("What the run has used cannot be read at the moment; try again in a while.") from error
