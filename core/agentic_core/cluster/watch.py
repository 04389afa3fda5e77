"""A watch that survives: list, watch, resume, list again. It has the protocol of watches and feeds a sink.

The operator's index and the stores of api and gateway are such sinks.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import aiohttp
import orjson

from agentic_core import telemetry
from agentic_core.backoff import Backoff
from agentic_core.cluster import errors, responses, transport
from agentic_core.cluster.client import PARTIAL, Cluster
from agentic_core.cluster.kinds import Kind, Object, Ref

SILENCE = 150.0
"""Seconds without a byte after which a watch is dead: bookmarks come about once a minute."""
LIFETIME = 290
"""Seconds after which the API server ends a watch."""
BACKOFF = Backoff(first=0.15, longest=24.0)

log = telemetry.logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A change of one object."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object
    """The object after the change, or its last state when deleted."""


class Sink(Protocol):
    """What a reflector feeds. No method waits: a slow sink would make the API server drop the watch."""

    def put(self, obj: Object) -> None:
        """The object exists, in this state."""

    def drop(self, obj: Object) -> None:
        """The object was deleted."""

    def bookmark(self, version: int) -> None:
        """All events up to this resource version have arrived."""

    def retain(self, refs: set[Ref], version: int) -> None:
        """Of all objects up to this resource version only these exist."""


async def watch(
    cluster: Cluster,
    kind: Kind,
    version: str,
    *,
    namespace: str | None = None,
    labels: str = "",
    metadata_only: bool = False,
) -> AsyncIterator[WatchEvent]:
    """The changes after `version`, until the API server ends the watch. Raises Gone when it no longer has them."""
    params = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(random.randint(LIFETIME - 60, LIFETIME)),  # noqa: S311 - spreads load
    }
    if labels:
        params["labelSelector"] = labels
    headers = {"Accept": PARTIAL.format("")} if metadata_only else {}
    request = transport.ApiRequest(
        method="GET", path=kind.path(namespace), verb="watch", kind=kind.name, params=params, headers=headers
    )
    try:
        async with cluster.transport.open(request, silence=SILENCE) as response:
            if response.status != 200:
                transport.check(response, await response.read(), request)
            async for line in _lines(response):
                yield _event(orjson.loads(line), kind, str(request))
    except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as failure:
        raise errors.Unreachable(f"{request}: the watch broke ({type(failure).__name__})") from failure


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; an object may be larger than aiohttp's own limit of a line."""
    rest: list[bytes] = []
    async for chunk in response.content.iter_any():
        *complete, last = chunk.split(b"\n")
        for line in complete:
            rest.append(line)
            if whole := b"".join(rest):
                yield whole
            rest.clear()
        rest.append(last)


def _event(raw: Object, kind: Kind, request: str) -> WatchEvent:
    if raw["type"] == "ERROR":
        raise responses.error(raw["object"].get("code", 500), raw["object"], request=request)
    raw["object"] |= {"apiVersion": kind.api_version, "kind": kind.name}  # metadata-only objects name another kind
    return WatchEvent(raw["type"], raw["object"])


@dataclass(kw_only=True)
class Reflector:
    """Keeps a sink equal to what the API server has of one kind, as long as `run` runs."""

    cluster: Cluster
    kind: Kind
    sink: Sink
    namespace: str | None = None
    labels: str = ""
    metadata_only: bool = False
    on_restart: Callable[[str], None] = field(default=lambda _kind: None)
    """Called with the kind each time that the watch is opened again because it broke."""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first list is in the sink."""
    _version: str = ""

    async def run(self) -> None:
        """List, then watch, for ever."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                async for event in self._watch():
                    self._feed(event)
                    failures = 0
            except errors.ClusterError as failure:
                self._version = "" if isinstance(failure, errors.Gone) else self._version
                self.on_restart(self.kind.name)
                failures += 1
                log.warning("watch broken", kind=self.kind.name, error=failure.message, failures=failures)
                await asyncio.sleep(_pause(failure, failures))

    def _watch(self) -> AsyncIterator[WatchEvent]:
        return watch(
            self.cluster,
            self.kind,
            self._version,
            namespace=self.namespace,
            labels=self.labels,
            metadata_only=self.metadata_only,
        )

    async def _list(self) -> None:
        seen: set[Ref] = set()
        version = ""
        pages = self.cluster.pages(self.kind, self.namespace, labels=self.labels, metadata_only=self.metadata_only)
        async for page in pages:
            version = page.resource_version
            for obj in page.items:
                seen.add(self.kind.ref(obj["metadata"]["name"], obj["metadata"].get("namespace")))
                self.sink.put(obj)
            await asyncio.sleep(0)  # let others run between the pages of a long list
        self.sink.retain(seen, int(version))
        self._version = version
        self.synced.set()

    def _feed(self, event: WatchEvent) -> None:
        version = event.object["metadata"]["resourceVersion"]
        if event.type == "DELETED":
            self.sink.drop(event.object)
        elif event.type == "BOOKMARK":
            self.sink.bookmark(int(version))
        else:
            self.sink.put(event.object)
        self._version = version


def _pause(failure: errors.ClusterError, failures: int) -> float:
    if isinstance(failure, errors.Gone) and failures == 1:
        return 0.0
    shortest = failure.retry_after if isinstance(failure, errors.TooManyRequests) else 0.0
    return max(shortest, BACKOFF.pause(failures))
