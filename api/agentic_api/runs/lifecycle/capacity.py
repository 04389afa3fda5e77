"""What a replica has room for, and how much of it a tenant may hold: runs, followers, bytes. The replica keeps one."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakValueDictionary

from agentic_core.errors import RateLimited
from agentic_core.web.shares import Shares

MOST_RUNS = 512
"""Runs of all tenants. Fairness to late-comers may double it."""
MOST_FOLLOWERS = 8192
"""Requests of all tenants that wait for runs."""
RUN_BYTES = 64 * 1024
"""What a run costs before anything was said: its tasks, and the buffers of its connection."""
EVENT_BYTES = 400
"""What an event costs besides its text."""
RETRY_SECONDS = 2.0


class TooManyRuns(RateLimited):
    """The tenant's runs fill its share of the replica."""

    code, title = "too_many_runs", "Too many runs at once"


class TooManyFollowers(RateLimited):
    """The tenant's requests that wait for runs fill its share of the replica."""

    code, title = "too_many_followers", "Too many requests wait for runs"


@dataclass(frozen=True)
class Capacity:
    """Bounds of one process."""

    runs_per_tenant: int = 200
    followers_per_tenant: int = 1000
    live_bytes: int = 128 * 1024 * 1024


class Room:
    """The room of a replica."""

    def __init__(self, capacity: Capacity) -> None:
        self._runs = Shares(MOST_RUNS, each=capacity.runs_per_tenant)
        self._followers = Shares(MOST_FOLLOWERS, each=capacity.followers_per_tenant)
        self._bytes = Shares(capacity.live_bytes, each=capacity.live_bytes)
        self._reading = asyncio.Lock()
        self._readers: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    def enter(self, tenant_id: UUID) -> "Place":
        """Room for one more run of a tenant."""
        runs = self._runs.held(tenant_id)
        if not self._runs.take(tenant_id):
            raise TooManyRuns(
                f"Your tenant has {runs} runs in progress, which is its share of this replica of the api;"
                " wait until some have ended, or cancel some, and try again.",
                retry_after=RETRY_SECONDS,
            )
        if not self._bytes.take(tenant_id, RUN_BYTES):
            self._runs.give(tenant_id)
            raise TooManyRuns(
                f"The {runs} runs that your tenant has in progress hold its share of this replica's memory;"
                " wait until some have ended, or cancel some, and try again.",
                retry_after=RETRY_SECONDS,
            )
        return Place(tenant_id, self._runs, self._bytes)

    @asynccontextmanager
    async def reading(self, tenant_id: UUID) -> AsyncGenerator[None]:
        """Held by who reads a large run from the database, which takes several times its size for a moment.

        One of each tenant's requests stands in the line, so nobody waits for many of another tenant's.
        """
        async with self._readers.setdefault(tenant_id, asyncio.Lock()), self._reading:
            yield

    def follow(self, tenant_id: UUID) -> Callable[[], None]:
        """Room for one more request that waits for a run; call what it returns when the request has ended."""
        if not self._followers.take(tenant_id):
            raise TooManyFollowers(
                f"Your tenant has {self._followers.held(tenant_id)} requests that wait for runs, which is its share of"
                " this replica of the api; close some, or read runs with GET /api/v1/runs/{run_id} instead.",
                retry_after=RETRY_SECONDS,
            )
        return lambda: self._followers.give(tenant_id)


class Place:
    """What one run holds of the room: its place while it goes on, its bytes until it is forgotten."""

    def __init__(self, tenant_id: UUID, runs: Shares, held: Shares) -> None:
        self._tenant_id = tenant_id
        self._runs = runs
        self._shares = held
        self._bytes = RUN_BYTES

    def grow(self, amount: int) -> bool:
        """Hold more bytes; False when the tenant holds its share of them."""
        fits = self._shares.take(self._tenant_id, amount)
        self._bytes += amount * fits
        return fits

    def abandon(self) -> None:
        """No run has begun."""
        self.ended()
        self.forgotten()

    def ended(self) -> None:
        """The run has ended; what was said is still in memory."""
        self._runs.give(self._tenant_id)

    def forgotten(self) -> None:
        """Nothing of the run is in memory any more."""
        self._shares.give(self._tenant_id, self._bytes)
