"""What a replica has capacity for, and how much of it a tenant may use: runs, followers, bytes. The replica has one.

Pure counting without any await, so that no other request comes between a check and what is taken by it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from agentic_core import bounded_json
from agentic_core.bounded_json import VALUE_BYTES
from agentic_core.contract import Event, MessageDone, ToolStarted
from agentic_core.errors import RateLimited
from agentic_core.web.shares import Shares

MAX_RUNS = 512
"""Runs of all tenants. Fairness to late-comers may double it."""
MAX_FOLLOWERS = 8192
"""Requests of all tenants that wait for runs."""
RUN_BYTES = 64 * 1024
"""What a run costs before any event: its tasks, and the buffers of its connection."""
EVENT_BYTES = 400
"""What an event costs besides its text."""
RETRY_SECONDS = 2.0
OBJECTS = (MessageDone, ToolStarted)
"""Events whose tool calls are kept as objects."""


class TooManyRuns(RateLimited):
    """The tenant's runs use its share of the replica."""

    code, title = "too_many_runs", "Too many runs at once"


class TooManyFollowers(RateLimited):
    """The tenant's requests that wait for runs use its share of the replica."""

    code, title = "too_many_followers", "Too many requests wait for runs"


def event_bytes(event: Event, payload: bytes) -> int:
    """What an event takes in memory: its text, and the arguments of tool calls, which are many times their text."""
    values = bounded_json.count(payload) if isinstance(event, OBJECTS) else 0
    return len(payload) + EVENT_BYTES + VALUE_BYTES * values


@dataclass(frozen=True)
class Capacity:
    """Bounds of one process."""

    runs_per_tenant: int = 200
    followers_per_tenant: int = 1000
    live_bytes: int = 128 * 1024 * 1024


class Slots:
    """What is in use of a replica's capacity. What is refused leaves nothing taken."""

    def __init__(self, capacity: Capacity) -> None:
        self._runs = Shares(MAX_RUNS, per_tenant=capacity.runs_per_tenant)
        self._followers = Shares(MAX_FOLLOWERS, per_tenant=capacity.followers_per_tenant)
        self._bytes = Shares(capacity.live_bytes, per_tenant=capacity.live_bytes)

    def run(self, tenant_id: UUID) -> "RunSlot":
        """A slot for one more run of a tenant. Raises `TooManyRuns`."""
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
                f"The {runs} runs that your tenant has in progress use its share of this replica's memory;"
                " wait until some have ended, or cancel some, and try again.",
                retry_after=RETRY_SECONDS,
            )
        return RunSlot(tenant_id, self._runs, self._bytes)

    def follower(self, tenant_id: UUID) -> Callable[[], None]:
        """A slot for a request that waits for a run; call the result when the request has ended.

        Raises `TooManyFollowers`.
        """
        if not self._followers.take(tenant_id):
            raise TooManyFollowers(
                f"Your tenant has {self._followers.held(tenant_id)} requests that wait for runs, which is its share of"
                " this replica of the api; close some, or read runs with GET /api/v1/runs/{run_id} instead.",
                retry_after=RETRY_SECONDS,
            )
        return lambda: self._followers.give(tenant_id)


class RunSlot:
    """What one run uses: a run of its tenant while it is in progress, bytes until nothing of it is in memory.

    `end_run` and `free_memory` are each called exactly once, or `release` instead of both.
    """

    def __init__(self, tenant_id: UUID, runs: Shares, memory: Shares) -> None:
        self._tenant_id = tenant_id
        self._runs = runs
        self._memory = memory
        self._bytes = RUN_BYTES

    def reserve(self, amount: int) -> bool:
        """Use more bytes; False when the tenant's share does not have them."""
        fits = self._memory.take(self._tenant_id, amount)
        self._bytes += amount * fits
        return fits

    def release(self) -> None:
        """No run has begun."""
        self.end_run()
        self.free_memory()

    def end_run(self) -> None:
        """The run has ended; its events are still in memory."""
        self._runs.give(self._tenant_id)

    def free_memory(self) -> None:
        """Nothing of the run is in memory any more."""
        self._memory.give(self._tenant_id, self._bytes)
