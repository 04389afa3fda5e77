"""Leadership by a Lease: one of several operators writes, and it stops in time. The composition root runs it.

The holder renews every two seconds. It may write until ten seconds after the start of its last successful renewal,
measured on its own monotonic clock; others take over fifteen seconds after they last saw a renewal, measured on theirs.
No clock is compared with another machine's, and a holder that was suspended finds its permission gone.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agentic_core import telemetry
from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import LEASE, Object

log = telemetry.logger(__name__)


class LeadershipLost(Exception):
    """Another operator leads, or may. The process has to end."""


@dataclass(frozen=True, kw_only=True)
class LeaseTiming:
    """Seconds; `duration` > `deadline` > `retry`."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class LeaderLease:
    """This process in the election. `cluster` is a client without fence, since renewing gives permission."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: LeaseTiming | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._ref = LEASE.ref(name, namespace)
        self._identity = identity
        self._timing = timing or LeaseTiming()
        self._clock = clock
        self._until = float("-inf")
        self._held: Object | None = None
        self._seen: tuple[str, float] = ("", clock())

    def may_write(self) -> bool:
        """Whether this process certainly leads; the fence calls it right before each write."""
        return self._clock() < self._until

    async def acquire(self) -> None:
        """Return when this process leads."""
        while True:
            try:
                if await self._try():
                    log.info("lease acquired", identity=self._identity)
                    return
            except errors.ClusterError as failure:
                log.warning("lease not read", error=failure.message)
            await asyncio.sleep(self._timing.retry)

    async def hold(self) -> None:
        """Renew, for ever. Raises LeadershipLost when that failed for too long or another operator leads."""
        while True:
            await asyncio.sleep(self._timing.retry)
            try:
                async with asyncio.timeout(max(0.0, self._until - self._clock())):
                    await self._renew()
            except errors.ObjectConflict as taken:
                self._until = float("-inf")
                raise LeadershipLost("another operator has taken the lease") from taken
            except (errors.ClusterError, TimeoutError) as failure:
                log.warning("lease not renewed", error=repr(failure))
            if not self.may_write():
                raise LeadershipLost(f"the lease was not renewed for {self._timing.deadline} s")

    async def release(self) -> None:
        """Let another operator lead at once. Nothing may be written afterwards."""
        if self._held is None or not self.may_write():
            return
        self._until = float("-inf")
        self._held["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            await self._cluster.replace(self._held, self._identity)
        except errors.ClusterError as failure:
            log.warning("lease not released", error=failure.message)

    async def _try(self) -> bool:
        found = await self._cluster.get(self._ref)
        started = self._clock()
        try:
            if found is None:
                self._record(await self._cluster.create(self._new(), self._identity), started)
            elif self._is_free(found):
                self._record(await self._cluster.replace(self._taken(found), self._identity), started)
            else:
                return False
        except errors.ObjectConflict:
            return False
        return True

    def _is_free(self, found: Object) -> bool:
        """Whether it has no holder, or its holder has not renewed for the duration that the lease states."""
        spec = found["spec"]
        record = f"{spec.get('holderIdentity')} {spec.get('renewTime')} {spec.get('leaseTransitions')}"
        if record != self._seen[0]:
            self._seen = (record, self._clock())
        duration = max(float(spec.get("leaseDurationSeconds") or 0), self._timing.duration)
        return not spec.get("holderIdentity") or self._clock() - self._seen[1] > duration

    async def _renew(self) -> None:
        assert self._held is not None  # noqa: S101 - hold follows acquire
        started = self._clock()
        body = self._held | {"spec": self._held["spec"] | {"renewTime": _now()}}
        self._record(await self._cluster.replace(body, self._identity), started)

    def _record(self, lease: Object, started: float) -> None:
        self._held = lease
        self._until = started + self._timing.deadline

    def _new(self) -> Object:
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
        spec = self._spec(transitions=0)
        return {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata, "spec": spec}

    def _taken(self, found: Object) -> Object:
        transitions = int(found["spec"].get("leaseTransitions") or 0) + 1
        return found | {"spec": self._spec(transitions=transitions)}

    def _spec(self, *, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
