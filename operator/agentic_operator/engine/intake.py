"""Kopf as the watch engine of primary kinds: its events reach the index and the queue, and it does nothing else.

Kopf does not say which objects vanished while a watch was broken, nor when its first list is complete. So the kinds are
listed once before it starts, and what a later list of its own does not have is looked up one by one.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

from agentic_core import telemetry
from agentic_core.cluster import Cluster, Credentials, errors
from agentic_core.cluster.credentials import Bearer
from agentic_core.cluster.kinds import Kind, Ref, ref_of
from agentic_operator.engine.dispatch import KindSink

CHUNK = 500
TOKEN_LIFETIME = timedelta(minutes=5)
SWEEP_SECONDS = 600.0
SETTLE_SECONDS = 2.0
PAUSE_SECONDS = 5.0

log = telemetry.logger(__name__)


class _Forgetful(kopf.DiffBaseStorage, kopf.ProgressStorage):
    """Kopf's memory of handlers' progress and of what changed, which nobody asks for: building it costs most of an
    event's CPU time."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is stored."""

    def purge(self, **_: Any) -> None:
        """Nothing was stored."""

    def touch(self, **_: Any) -> None:
        """Nothing is stored."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class Intake:
    """The watches of the primary kinds."""

    def __init__(
        self,
        cluster: Cluster,
        credentials: Credentials,
        sinks: Mapping[Kind, KindSink],
        *,
        on_restart: Callable[[str], None],
    ) -> None:
        self._on_restart = on_restart
        self._cluster = cluster
        self._credentials = credentials
        self._sinks = sinks
        self._listings = {kind: _Listing() for kind in sinks}

    async def prime(self) -> None:
        """Put everything that exists into the index, as soon as the API server lets us."""
        for kind, sink in self._sinks.items():
            while True:
                try:
                    await self._list(kind, sink)
                    break
                except errors.ClusterError as failure:
                    log.warning("cannot list", kind=kind.name, error=failure.message)
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _list(self, kind: Kind, sink: KindSink) -> None:
        seen, version = set[Ref](), ""
        async for page in self._cluster.pages(kind):
            version = page.resource_version
            for obj in page.items:
                seen.add(ref_of(obj))
                sink.put(obj)
            await asyncio.sleep(0)  # let others run between the parts of a long list
        sink.retain(seen, int(version))

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        logging.getLogger("kopf").setLevel(logging.WARNING)
        sweeps = [asyncio.create_task(self._sweep(kind)) for kind in self._sinks]
        try:
            while not await self._run_once(stop):  # noqa: ASYNC110 - a pause between attempts
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            for sweep in sweeps:
                sweep.cancel()

    async def _run_once(self, stop: asyncio.Event) -> bool:
        """Whether kopf ended because it was told to, by `stop` or a signal. It also ends at answers that it does not
        expect, such as 410 to the opening of a watch; the next run lists anew."""
        try:
            await kopf.operator(
                registry=self._registry(), settings=_settings(), clusterwide=True, standalone=True, stop_flag=stop
            )
        except Exception as failure:  # noqa: BLE001 - kopf does not publish its errors
            log.warning("kopf ended", error=repr(failure))
            self._on_restart("kopf")
            return False
        return True

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        bearer = Bearer(self._credentials)
        kopf.on.login(registry=registry, id="login")(lambda **_: _connection(self._credentials, bearer))
        for kind, sink in self._sinks.items():
            self._listen(registry, kind, sink)
        return registry

    def _listen(self, registry: kopf.OperatorRegistry, kind: Kind, sink: KindSink) -> None:
        listing = self._listings[kind]

        async def changed(event: kopf.RawEvent, **_: Any) -> None:  # a plain function would run in a thread
            obj = dict(event["object"])
            if event["type"] == "DELETED":
                sink.drop(obj)
                return
            if event["type"] is None:
                listing.add(ref_of(obj))
            sink.put(obj)

        def is_news(event: kopf.RawEvent, **_: Any) -> bool:
            """Sparing kopf the call of the handler for what we wrote ourselves is half the cost of an event."""
            return event["type"] in (None, "DELETED") or not sink.knows(dict(event["object"]))

        group, version = kind.api_version.split("/")
        kopf.on.event(group, version, kind.plural, registry=registry, id=kind.plural, when=is_news)(changed)

    async def _sweep(self, kind: Kind) -> None:
        """Find out what vanished unseen, after each list and from time to time."""
        sink = self._sinks[kind]
        while True:
            try:
                for ref in sink.missing(await self._existing(kind)):
                    if await self._cluster.get(ref, metadata_only=True) is None:
                        sink.gone(ref)
            except errors.ClusterError as failure:
                log.warning("cannot look for what vanished", kind=kind.name, error=failure.message)

    async def _existing(self, kind: Kind) -> set[Ref]:
        """What kopf's next list has, or a list of our own when there was none for long."""
        try:
            return await asyncio.wait_for(self._listings[kind].complete(), SWEEP_SECONDS)
        except TimeoutError:
            pages = self._cluster.pages(kind, metadata_only=True)
            return {ref_of(obj) async for page in pages for obj in page.items}


class _Listing:
    """What a list of kopf's has told so far."""

    def __init__(self) -> None:
        self._seen: set[Ref] = set()
        self._more = asyncio.Event()

    def add(self, ref: Ref) -> None:
        self._seen.add(ref)
        self._more.set()

    async def complete(self) -> set[Ref]:
        """Everything that was listed, once nothing came for a moment after something had come."""
        await self._more.wait()
        while self._more.is_set():
            self._more.clear()
            await asyncio.sleep(SETTLE_SECONDS)
        seen, self._seen = self._seen, set()
        return seen


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.watching.chunk_size = CHUNK
    settings.persistence.consistency_timeout = 0
    settings.persistence.diffbase_storage = settings.persistence.progress_storage = _Forgetful()
    settings.queueing.idle_timeout = 0.1
    return settings


def _connection(credentials: Credentials, bearer: Bearer) -> kopf.ConnectionInfo:
    token = bearer.header().get("Authorization", "").removeprefix("Bearer ") or None
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_data=credentials.ca,
        insecure=not credentials.verify,
        certificate_data=credentials.certificate,
        private_key_data=credentials.private_key,
        token=token,
        expiration=datetime.now(UTC) + TOKEN_LIFETIME if credentials.token_file else None,
    )
