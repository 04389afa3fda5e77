"""Runs that other replicas drive, as they are followed here: read once for all requests. The service calls it.

Followers that have seen the same events wait for the same query, and go on together from where it ends; one that lags,
or comes late, reads on its own until it is where the others are.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from cachetools import TTLCache

from agentic_api.runs.schemas import RunSummary
from agentic_api.runs.states import RULES
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import RunProgress
from agentic_core.db import Database
from agentic_core.single_flight import SingleFlight

T = TypeVar("T")

POLL_SECONDS = 0.5
"""How often a run that is driven elsewhere is read when no notice comes."""
CACHE_SECONDS = 1.0
"""For how long a result is there for requests that come a little later."""
CACHE_BYTES = 32 * 1024 * 1024
END = 2**31 - 1
"""No event has this number: what follows it is the end of the run."""


class Remote:
    """The runs of other replicas.

    Invariant: a follower is registered before its replica is notified that there is one, so the notice that there is
    more finds it. One that was sent before that is not repeated: then polling finds what it was about.
    """

    def __init__(self, database: Database, send: Callable[[str], Awaitable[None]]) -> None:
        """`send` sends a notice to all replicas."""
        self._database = database
        self._send = send
        cache: TTLCache[Any, Any] = TTLCache(CACHE_BYTES, CACHE_SECONDS, getsizeof=_size)
        self._shared = SingleFlight[Hashable, Any](cache)
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = {}

    async def read(self, tenant_id: UUID, run_id: UUID, *, after: int) -> RunProgress | None:
        """The run with the events that follow number `after`, once there are any or the run goes on no further.

        None when there is no such run.
        """
        return await self.once((tenant_id, run_id, after), lambda: self._read(tenant_id, run_id, after))

    async def once(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result that all requests with this key share. The key names the tenant."""
        result: T = await self._shared.get(key, load)
        return result

    def notify(self, run_id: UUID) -> None:
        """There is more of a run."""
        for future in self._waiting.get(run_id, ()):
            if not future.done():
                future.set_result(None)

    async def _read(self, tenant_id: UUID, run_id: UUID, after: int) -> RunProgress | None:
        while True:
            async with self._database.read_share(tenant_id), self._database.transaction(tenant_id) as transaction:
                journal = Journal(transaction)
                progress = await journal.progress(run_id)
                events = await journal.events(run_id, after=after)
            if progress is None or events or not RULES[progress.status].advances:
                return progress and replace(progress, events=events)
            await self._wait_for_more(run_id)

    async def _wait_for_more(self, run_id: UUID) -> None:
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


def _size(result: Any) -> int:
    """Bytes of a result, about."""
    match result:
        case RunProgress():
            return 1000 + sum(len(event.payload) for event in result.events)
        case RunSummary():
            return 1000 + len(result.encoded)
        case _:
            return 1000
