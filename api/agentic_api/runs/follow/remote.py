"""Runs that other replicas drive, as they are followed here: looked at once for all who follow. The service asks.

Followers at the same place wait for the same query, and go on together from where it ends; one that lags, or comes
late, reads on its own until it is where the others are.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from agentic_api.runs.schemas import Status
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import BATCH_EVENTS, RunState, StoredEvent
from agentic_core.db import Database

T = TypeVar("T")

POLL_SECONDS = 0.5
"""How often a run that is driven elsewhere is looked at when no notice comes."""
KEEP_SECONDS = 1.0
"""For how long an answer is there for those who ask a little later."""
END = 2**31 - 1
"""No event has this number: what follows it is the end of the run."""


@dataclass(frozen=True)
class Progress:
    """What has become of a run."""

    state: RunState | None
    """None when there is no such run."""
    events: list[StoredEvent]


@dataclass
class _Asked:
    task: asyncio.Task[Any]
    waiting: int = 0


class Remote:
    """The runs of other replicas."""

    def __init__(self, database: Database, send: Callable[[str], Awaitable[None]]) -> None:
        self._database = database
        self._send = send
        self._asked: dict[Hashable, _Asked] = {}
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = {}

    async def read(self, tenant_id: UUID, run_id: UUID, *, after: int) -> Progress:
        """Events that follow number `after`, as soon as there are any; none when the run has ended."""
        return await self.once((tenant_id, run_id, after), lambda: self._read(tenant_id, run_id, after))

    async def once(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer that all who ask with this key share. The key names the tenant."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = _Asked(asyncio.create_task(ask()))
            asked.task.add_done_callback(lambda _task: self._answered(key, asked))
        asked.waiting += 1
        try:
            answer: T = await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting and not asked.task.done():
                asked.task.cancel()
                self._forget(key, asked)
        return answer

    def hear(self, run_id: UUID) -> None:
        """There is more of a run."""
        for future in self._waiting.get(run_id, ()):
            if not future.done():
                future.set_result(None)

    async def _read(self, tenant_id: UUID, run_id: UUID, after: int) -> Progress:
        while True:
            async with self._database.transaction(tenant_id) as transaction:
                journal = Journal(transaction)
                state = await journal.state(run_id)
                events = await journal.events(run_id, after=after, most=BATCH_EVENTS)
            if state is None or events or state.status is not Status.RUNNING:
                return Progress(state, events)
            await self._more(run_id)

    async def _more(self, run_id: UUID) -> None:
        """Wait until there may be more."""
        waiting = self._waiting.setdefault(run_id, set())
        future = asyncio.get_running_loop().create_future()
        waiting.add(future)
        try:
            await self._send(f"follow {run_id}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(future, POLL_SECONDS)
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(run_id) is waiting:
                del self._waiting[run_id]

    def _answered(self, key: Hashable, asked: _Asked) -> None:
        if asked.task.cancelled() or asked.task.exception() is not None:
            self._forget(key, asked)
        else:
            asyncio.get_running_loop().call_later(KEEP_SECONDS, self._forget, key, asked)

    def _forget(self, key: Hashable, asked: _Asked) -> None:
        if self._asked.get(key) is asked:
            del self._asked[key]
