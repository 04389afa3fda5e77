"""Kubernetes Events: short messages about an object that `kubectl describe` shows; the operator writes them.

An event says in the past tense what was done. The same one is written once in ten minutes, with a count.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cachetools import LRUCache

from agentic_core.cluster.client import Cluster
from agentic_core.cluster.kinds import Object

QUIET_SECONDS = 600.0
MAX_SERIES = 4096


@dataclass(slots=True)
class _Series:
    first: str
    last: datetime
    count: int = 1


class Recorder:
    """Writes events in the name of one program."""

    def __init__(
        self, cluster: Cluster, component: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._cluster = cluster
        self._component = component
        self._clock = clock
        self._series: LRUCache[str, _Series] = LRUCache(MAX_SERIES)

    async def event(
        self,
        regarding: Object,
        reason: str,
        *,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",  # noqa: A002
    ) -> None:
        """Write an event about an object."""
        metadata = regarding["metadata"]
        key = hashlib.sha256(f"{metadata['uid']} {reason} {message}".encode()).hexdigest()[:16]
        series = self._due(key)
        if series is None:
            return
        namespace = metadata.get("namespace") or "default"
        body: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name'][:200]}.{key}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                "name": metadata["name"],
                "namespace": metadata.get("namespace", ""),
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "reason": reason,
            "message": message[:1024],
            "type": type,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": series.first,
            "lastTimestamp": _text(series.last),
            "count": series.count,
        }
        await self._cluster.apply(body, self._component)

    def _due(self, key: str) -> _Series | None:
        """The series to write now, or None when it was written a short time ago."""
        now = self._clock()
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(_text(now), now)
            return series
        series.count += 1
        if (now - series.last).total_seconds() < QUIET_SECONDS:
            return None
        series.last = now
        return series


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
