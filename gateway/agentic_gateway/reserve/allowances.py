"""What each run may still use, as far as this replica knows; the application asks before a call, the meter reports.

What is known is never older than some seconds when a call begins: a token that has just been signed says that its run
has just begun, each commit of usage returns what the run has used at all replicas and whether it still runs, and the
database is asked only where neither is recent. Calls in progress have their worst case set aside, so that many at once
cannot use together what one may use alone.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from time import time
from typing import Final, Protocol
from uuid import UUID

from agentic_core import telemetry
from agentic_core.db import faults
from agentic_gateway.identify.verifier import Credential
from agentic_gateway.problems import RunEnded, RunUnknown, TokensUsedUp
from agentic_gateway.settle.usage import RunState, UsageRow

MOST_RUNS: Final = 10_000
"""Runs remembered; one that is forgotten is looked up with its next call."""
FRESH_SECONDS: Final = 5.0
"""How old what is known about a run may be when a call begins."""
WATCH_SECONDS: Final = 5.0
"""How often the runs whose calls are in progress are looked at: about how long a call outlives its run."""
LOG = telemetry.logger(__name__)


class Runs(Protocol):
    """Where the states of runs are kept."""

    async def states(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Sequence[RunState]:
        """The states of runs of one tenant, of those that exist and of those that do not."""
        ...


class Allowance:
    """What one run may still use."""

    def __init__(self, tenant_id: UUID, run_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.run_id = run_id
        self.limit = 0
        self.known_at = 0.0
        """When what is known was true, by the wall clock; 0 when nothing is."""
        self._running = True
        self._used = 0
        """What the database says, all replicas included."""
        self._uncommitted = 0
        """Used by calls of this replica whose rows are on their way."""
        self._set_aside = 0
        """The worst case of the calls in progress."""
        self._calls: set[asyncio.Task[object]] = set()

    @property
    def left(self) -> int:
        """Tokens that a call may use that begins now."""
        return self.limit - self._used - self._uncommitted - self._set_aside

    @property
    def calling(self) -> bool:
        """Whether calls are in progress."""
        return bool(self._calls)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it that the database does not know."""
        return not self._calls and not self._uncommitted

    def learn(self, state: RunState, now: float) -> None:
        """The state as the database has it; sums only grow, so of two answers the larger is the later."""
        self.known_at = max(self.known_at, now)
        self._used = max(self._used, state.tokens)
        if self._running and not state.running:  # a call that is cancelled twice could not tell why
            self._running = False
            for call in self._calls:
                call.cancel()

    def charged(self, row: UsageRow) -> None:
        """A call has used something; the row that says so is on its way."""
        self._uncommitted += row.tokens

    def committed(self, row: UsageRow) -> None:
        """The row is in the database; what `learn` hears from now on includes it."""
        self._uncommitted -= row.tokens

    def grant(self, prompt: int, wanted: int) -> int:
        """How many tokens the model may write in answer to a prompt of this size, of those that the call wants."""
        if not self._running:
            raise RunEnded(f"Run {self.run_id} has ended; its token is good for no more calls.")
        left = self.left - prompt
        if left < min(wanted, 1):
            raise TokensUsedUp(
                f"The run may use {self.limit} tokens and has about {max(0, self.left)} left, calls in progress"
                f" counted; this call needs about {prompt} for its prompt alone. Raise limits.maxTokens of the agent"
                " or send less."
            )
        return min(wanted, left)

    @contextmanager
    def spending(self, tokens: int) -> Generator[None]:
        """Sets the tokens aside for the block; cancels it when the run ends, and raises `RunEnded` then."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        self._calls.add(task)
        self._set_aside += tokens
        try:
            yield
        except asyncio.CancelledError:
            if not self._running and task.uncancel() == 0:
                raise RunEnded(f"Run {self.run_id} has ended, and this call with it.") from None
            raise
        finally:
            self._set_aside -= tokens
            self._calls.discard(task)


class Allowances:
    """The allowances of all runs that call here."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._known: OrderedDict[UUID, Allowance] = OrderedDict()

    async def current(self, credential: Credential) -> Allowance:
        """The allowance of the credential's run, as of some seconds ago at most."""
        claims = credential.claims
        allowance = self._remembered(UUID(claims.tenant_id), UUID(claims.run_id))
        allowance.limit = claims.max_tokens
        if not allowance.known_at and time() - credential.issued_at < FRESH_SECONDS:
            allowance.known_at = credential.issued_at
        if time() - allowance.known_at > FRESH_SECONDS:
            await self._look_up(allowance)
        return allowance

    def of(self, row: UsageRow) -> Allowance | None:
        """The allowance that a row is charged to."""
        return self._known.get(row.run_id)

    def learn(self, states: Sequence[RunState]) -> None:
        """What the database has just said about runs."""
        now = time()
        for state in states:
            allowance = self._known.get(state.run_id)
            if allowance is not None:
                allowance.learn(state, now)

    async def watch(self) -> None:
        """Hear for ever of the end of runs whose calls are in progress."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            stale: dict[UUID, list[UUID]] = {}
            for allowance in self._known.values():
                if allowance.calling and time() - allowance.known_at > WATCH_SECONDS:
                    stale.setdefault(allowance.tenant_id, []).append(allowance.run_id)
            try:
                for tenant_id, run_ids in stale.items():
                    self.learn(await self._runs.states(tenant_id, run_ids))
            except Exception as error:
                LOG.warning("the states of runs cannot be read", exc_info=not faults.is_unavailable(error))

    async def _look_up(self, allowance: Allowance) -> None:
        """Ask the database. While it is unavailable, cached runs go on, as their rows wait too."""
        try:
            self.learn(await self._runs.states(allowance.tenant_id, [allowance.run_id]))
        except Exception as error:
            if not faults.is_unavailable(error):
                raise
            if not allowance.known_at:
                raise RunUnknown("What the run has used cannot be read at the moment; try again in a while.") from error

    def _remembered(self, tenant_id: UUID, run_id: UUID) -> Allowance:
        allowance = self._known.get(run_id)
        if allowance is None:
            self._forget()
            allowance = self._known[run_id] = Allowance(tenant_id, run_id)
        self._known.move_to_end(run_id)
        return allowance

    def _forget(self) -> None:
        if len(self._known) >= MOST_RUNS:
            oldest = next((run_id for run_id, one in self._known.items() if one.idle), None)
            if oldest is not None:
                del self._known[oldest]
