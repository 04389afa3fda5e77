"""What to reconcile next: coalesced keys, one in flight per controller and object, fair between tenants, edits first.

Watches add keys, workers take them. Of Kubernetes it uses only references to objects.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from enum import IntEnum

from agentic_core.backoff import Backoff
from agentic_operator.engine.key import ReconcileKey

BACKOFF = Backoff(first=1.0, longest=300.0)
LOWEST_FIRST_EVERY = 8
"""Each time this many keys were taken, the least urgent one is taken next, so that edits cannot starve drift."""


class QueueClosed(Exception):
    """No more keys: the process ends."""


class Priority(IntEnum):
    """How urgent a key is."""

    EDIT = 0
    """A person is waiting."""
    EVENT = 1
    """A child or something related changed, or a pause is over."""
    BACKLOG = 2
    """It existed at the start."""


class _Ring:
    """Keys by tenant, taken in turn."""

    def __init__(self) -> None:
        self._keys: dict[str, deque[ReconcileKey]] = {}
        self._tenants: deque[str] = deque()

    def add(self, tenant: str, key: ReconcileKey) -> None:
        if tenant not in self._keys:
            self._keys[tenant] = deque()
            self._tenants.append(tenant)
        self._keys[tenant].append(key)

    def take(self, may_run: Callable[[str], bool]) -> ReconcileKey | None:
        for _ in range(len(self._tenants)):
            tenant = self._tenants[0]
            self._tenants.rotate(-1)
            if may_run(tenant):
                return self._pop(tenant)
        return None

    def _pop(self, tenant: str) -> ReconcileKey:
        key = self._keys[tenant].popleft()
        if not self._keys[tenant]:
            del self._keys[tenant]
            self._tenants.remove(tenant)
        return key


class Queue:
    """Queued keys. `per_tenant` is how many keys of one tenant may be in flight at once.

    Invariants: a key is queued once at most; it is in flight once at most, and one that is added meanwhile is queued
    when it is done; no method but `take` awaits.
    """

    def __init__(
        self, tenant_of: Callable[[ReconcileKey], str], *, per_tenant: int, backoff: Backoff = BACKOFF
    ) -> None:
        self._tenant_of = tenant_of
        self._per_tenant = per_tenant
        self._backoff = backoff
        self._rings = {priority: _Ring() for priority in Priority}
        self._queued: dict[ReconcileKey, Priority] = {}
        self._running: dict[ReconcileKey, str] = {}
        self._again: dict[ReconcileKey, Priority] = {}
        self._in_flight: Counter[str] = Counter()
        self._failures: Counter[ReconcileKey] = Counter()
        self._timers: dict[ReconcileKey, asyncio.TimerHandle] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._taken = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._queued)

    @property
    def quiet(self) -> bool:
        """Whether nothing is queued or in flight."""
        return not self._queued and not self._running

    def add(self, key: ReconcileKey, priority: Priority = Priority.EVENT) -> None:
        """Reconcile the key as soon as its turn comes."""
        if priority is Priority.EDIT:
            self._failures.pop(key, None)
        if key in self._running:
            self._again[key] = min(priority, self._again.get(key, priority))
        elif priority < self._queued.get(key, len(Priority)):
            self._queued[key] = priority
            self._rings[priority].add(self._tenant_of(key), key)
            self._wake()

    def add_later(self, key: ReconcileKey, seconds: float) -> None:
        """Reconcile the key after a while; replaces an earlier timer of the key."""
        self._cancel(key)
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._due, key)

    def failed(self, key: ReconcileKey) -> float:
        """Retry the key, later with each failure. Returns the seconds until then."""
        self._failures[key] += 1
        pause = self._backoff.pause(self._failures[key])
        self.add_later(key, pause)
        return pause

    def succeeded(self, key: ReconcileKey) -> None:
        """Forget the key's failures and timers."""
        self._failures.pop(key, None)
        self._cancel(key)

    async def take(self) -> ReconcileKey:
        """The next key. Call `done` with it afterwards. Raises QueueClosed once the queue is closed."""
        while self._closed or (key := self._next()) is None:
            if self._closed:
                raise QueueClosed
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
        return key

    def done(self, key: ReconcileKey) -> None:
        """The key is not in flight any more."""
        tenant = self._running.pop(key)
        self._in_flight[tenant] -= 1
        if not self._in_flight[tenant]:
            del self._in_flight[tenant]
        if (priority := self._again.pop(key, None)) is not None:
            self.add(key, priority)
        self._wake()

    def close(self) -> None:
        """Let `take` raise from now on."""
        self._closed = True
        for key in list(self._timers):
            self._cancel(key)
        while self._idle:
            self._wake()

    def _next(self) -> ReconcileKey | None:
        lowest_first = self._taken % LOWEST_FIRST_EVERY == LOWEST_FIRST_EVERY - 1
        for priority in sorted(Priority, reverse=lowest_first):
            while key := self._rings[priority].take(self._may_run):
                if self._queued.get(key) is priority:  # else it has become more urgent and was taken before
                    return self._start(key)
        return None

    def _start(self, key: ReconcileKey) -> ReconcileKey:
        tenant = self._tenant_of(key)
        del self._queued[key]
        self._running[key] = tenant
        self._in_flight[tenant] += 1
        self._taken += 1
        return key

    def _may_run(self, tenant: str) -> bool:
        return self._in_flight[tenant] < self._per_tenant

    def _due(self, key: ReconcileKey) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel(self, key: ReconcileKey) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
