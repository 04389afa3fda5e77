"""What to reconcile next: coalesced keys, one in flight per object, fair between tenants, user edits first.

Watches add keys, workers take them. It knows nothing about Kubernetes but references.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from enum import IntEnum

from agentic_core.cluster.kinds import Ref

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
TURN_OF_THE_LAST = 8
"""Each time this many keys were taken, the least urgent one gets its turn, so that edits cannot starve drift."""


class Closed(Exception):
    """No more keys: the process ends."""


class Priority(IntEnum):
    """How urgent a key is."""

    EDIT = 0
    """A person is waiting."""
    EVENT = 1
    """A child or something related changed, or it is time to look again."""
    BACKLOG = 2
    """It was there when we started."""


class _Ring:
    """Keys by tenant, given out in turn."""

    def __init__(self) -> None:
        self._keys: dict[str, deque[Ref]] = {}
        self._tenants: deque[str] = deque()

    def add(self, tenant: str, key: Ref) -> None:
        if tenant not in self._keys:
            self._keys[tenant] = deque()
            self._tenants.append(tenant)
        self._keys[tenant].append(key)

    def take(self, may_run: Callable[[str], bool]) -> Ref | None:
        for _ in range(len(self._tenants)):
            tenant = self._tenants[0]
            self._tenants.rotate(-1)
            if may_run(tenant):
                return self._pop(tenant)
        return None

    def _pop(self, tenant: str) -> Ref:
        key = self._keys[tenant].popleft()
        if not self._keys[tenant]:
            del self._keys[tenant]
            self._tenants.remove(tenant)
        return key


class Queue:
    """Keys that wait. `share` is how many keys of one tenant may be in flight at once."""

    def __init__(self, tenant_of: Callable[[Ref], str], *, share: int) -> None:
        self._tenant_of = tenant_of
        self._share = share
        self._rings = {priority: _Ring() for priority in Priority}
        self._waiting: dict[Ref, Priority] = {}
        self._running: dict[Ref, str] = {}
        self._again: dict[Ref, Priority] = {}
        self._in_flight: Counter[str] = Counter()
        self._failures: Counter[Ref] = Counter()
        self._timers: dict[Ref, asyncio.TimerHandle] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._taken = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits or runs."""
        return not self._waiting and not self._running

    def in_flight(self, key: Ref) -> bool:
        """Whether the key is being reconciled."""
        return key in self._running

    def add(self, key: Ref, priority: Priority = Priority.EVENT) -> None:
        """The key shall be reconciled, as soon as its turn comes."""
        if priority is Priority.EDIT:
            self._failures.pop(key, None)
        if key in self._running:
            self._again[key] = min(priority, self._again.get(key, priority))
        elif priority < self._waiting.get(key, len(Priority)):
            self._waiting[key] = priority
            self._rings[priority].add(self._tenant_of(key), key)
            self._wake()

    def add_later(self, key: Ref, seconds: float) -> None:
        """The key shall be reconciled after a while; replaces an earlier such wish."""
        self._cancel(key)
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._due, key)

    def failed(self, key: Ref) -> float:
        """The key shall be tried again, ever later. Returns the seconds until then."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures[key], 16))
        pause *= random.uniform(0.75, 1.25)  # noqa: S311 - spreads load
        self._failures[key] += 1
        self.add_later(key, pause)
        return pause

    def succeeded(self, key: Ref) -> None:
        """Forget the key's failures and timers."""
        self._failures.pop(key, None)
        self._cancel(key)

    async def take(self) -> Ref:
        """The next key. Call `done` with it afterwards. Raises Closed once the queue is closed."""
        while self._closed or (key := self._next()) is None:
            if self._closed:
                raise Closed
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
        return key

    def done(self, key: Ref) -> None:
        """The key is not in flight any more."""
        tenant = self._running.pop(key)
        self._in_flight[tenant] -= 1
        if not self._in_flight[tenant]:
            del self._in_flight[tenant]
        if (priority := self._again.pop(key, None)) is not None:
            self.add(key, priority)
        self._wake()

    def close(self) -> None:
        """Give out no more keys."""
        self._closed = True
        for key in list(self._timers):
            self._cancel(key)
        while self._idle:
            self._wake()

    def _next(self) -> Ref | None:
        last = self._taken % TURN_OF_THE_LAST == TURN_OF_THE_LAST - 1
        for priority in sorted(Priority, reverse=last):
            while key := self._rings[priority].take(self._may_run):
                if self._waiting.get(key) is priority:  # else it has become more urgent and was taken before
                    return self._start(key)
        return None

    def _start(self, key: Ref) -> Ref:
        tenant = self._tenant_of(key)
        del self._waiting[key]
        self._running[key] = tenant
        self._in_flight[tenant] += 1
        self._taken += 1
        return key

    def _may_run(self, tenant: str) -> bool:
        return self._in_flight[tenant] < self._share

    def _due(self, key: Ref) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel(self, key: Ref) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
