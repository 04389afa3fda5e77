"""Kopf as the watch engine of our own kinds: its events reach the index and the queue, and it does nothing else.

Kopf does not say which objects vanished while a watch was broken, nor when its first list is complete. So the kinds are
listed once before it starts, and compared with the API server after each list of its own and every ten minutes.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

from agentic_core import telemetry
from agentic_core.cluster import Cluster, Credentials, errors
from agentic_core.cluster.credentials import Bearer
from agentic_core.cluster.kinds import Kind
from agentic_operator.engine.dispatch import KindSink

CHUNK = 500
TOKEN_LIFETIME = timedelta(minutes=5)
SWEEP_SECONDS = 600.0
SETTLE_SECONDS = 2.0

log = telemetry.logger(__name__)


class Intake:
    """The watches of the primary kinds."""

    def __init__(self, cluster: Cluster, credentials: Credentials, sinks: dict[Kind, KindSink]) -> None:
        self._cluster = cluster
        self._credentials = credentials
        self._sinks = sinks
        self._listed: dict[Kind, asyncio.Event] = {kind: asyncio.Event() for kind in sinks}

    async def prime(self) -> None:
        """Put everything that exists into the index."""
        for kind in self._sinks:
            await self._compare(kind, metadata_only=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        logging.getLogger("kopf").setLevel(logging.WARNING)
        sweeps = [asyncio.create_task(self._sweep(kind)) for kind in self._sinks]
        try:
            await kopf.operator(
                registry=self._registry(), settings=_settings(), clusterwide=True, standalone=True, stop_flag=stop
            )
        finally:
            for sweep in sweeps:
                sweep.cancel()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        bearer = Bearer(self._credentials)
        kopf.on.login(registry=registry, id="login")(lambda **_: _connection(self._credentials, bearer))
        for kind, sink in self._sinks.items():
            group, version = kind.api_version.split("/")
            self._listen(registry, (group, version, kind.plural), kind, sink)
        return registry

    def _listen(self, registry: kopf.OperatorRegistry, names: tuple[str, str, str], kind: Kind, sink: KindSink) -> None:
        def changed(event: kopf.RawEvent, **_: Any) -> None:
            obj = dict(event["object"])
            if event["type"] == "DELETED":
                sink.drop(obj)
                return
            if event["type"] is None:
                self._listed[kind].set()
            sink.put(obj)

        kopf.on.event(*names, registry=registry, id=kind.plural)(changed)

    async def _sweep(self, kind: Kind) -> None:
        """Find out what vanished unseen, after each list and from time to time."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._listed[kind].wait()
            except TimeoutError:
                log.debug("sweep", kind=kind.name)
            await asyncio.sleep(SETTLE_SECONDS)
            self._listed[kind].clear()
            try:
                await self._compare(kind, metadata_only=True)
            except errors.ClusterError as failure:
                log.warning("cannot compare with the API server", kind=kind.name, error=failure.message)
                self._listed[kind].set()

    async def _compare(self, kind: Kind, *, metadata_only: bool) -> None:
        sink, seen, version = self._sinks[kind], set[Any](), ""
        async for page in self._cluster.pages(kind, metadata_only=metadata_only):
            version = page.resource_version
            for obj in page.items:
                seen.add(kind.ref(obj["metadata"]["name"], obj["metadata"].get("namespace")))
                if not metadata_only:
                    sink.put(obj)
            await asyncio.sleep(0)  # let others run between the parts of a long list
        sink.retain(seen, int(version))


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.watching.chunk_size = CHUNK
    settings.persistence.consistency_timeout = 0
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
