"""Composition root of the operator: settings, telemetry, leadership, engine. The console script `agentic-operator`."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from agentic_core import garbage, names, telemetry
from agentic_core.cluster import Cluster, Options, credentials
from agentic_operator.controllers.registry import controllers
from agentic_operator.engine import probes
from agentic_operator.engine.controller import Controller
from agentic_operator.engine.engine import Engine, cancel, first_of
from agentic_operator.engine.lease import Lease, Lost
from agentic_operator.engine.metrics import Metrics
from agentic_operator.settings import OperatorSettings

log = telemetry.logger(__name__)


def main() -> None:
    """Run the operator until it is told to stop, or another one leads."""
    settings = OperatorSettings()  # pyright: ignore[reportCallIssue] - from the environment
    telemetry.configure(names.OPERATOR, settings)
    garbage.spare()
    uvloop.run(run(settings, controllers(settings.platform)))


async def run(settings: OperatorSettings, all_controllers: Sequence[Controller[Any, Any]]) -> None:
    """Serve the probes, wait for leadership, converge until SIGTERM. Ends the process when leadership is lost."""
    access = credentials.load(settings.kubeconfig)
    metrics, stop = Metrics(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Cluster(access, Options(timeout=5.0, attempts=1)) as election:
        lease = Lease(election, namespace=settings.namespace, name=names.OPERATOR, identity=settings.identity)
        options = Options(may_write=lease.may_write, observer=metrics.requested)
        async with Cluster(access, options) as cluster:
            engine = Engine(cluster, access, controllers=all_controllers, metrics=metrics)
            metrics.leader.set_function(lambda: float(lease.may_write()))
            measuring = asyncio.create_task(metrics.measure_lag())
            server = await probes.serve(
                metrics,
                host=settings.host,
                port=settings.port,
                ready=lambda: engine.synced.is_set() or not lease.may_write(),
            )
            try:
                await _lead(lease, engine, stop)
            finally:
                await cancel([measuring])
                await lease.release()
                await server.cleanup()


async def _lead(lease: Lease, engine: Engine, stop: asyncio.Event) -> None:
    stopped = asyncio.create_task(_wait(stop))
    acquiring = asyncio.create_task(lease.acquire())
    await first_of([acquiring, stopped])
    if stop.is_set():
        await cancel([acquiring, stopped])
        return
    holding = asyncio.create_task(lease.hold())
    converging = asyncio.create_task(engine.run(stop))
    try:
        await first_of([holding, converging])
    except Lost as lost:
        _die(lost)
    finally:
        await cancel([converging, holding, stopped])


def _die(lost: Lost) -> None:
    """End at once: nothing that is in flight may be finished, and whoever leads now does it again."""
    log.error("lost the leadership", reason=str(lost))
    logging.shutdown()
    sys.stderr.flush()
    os._exit(1)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


if __name__ == "__main__":
    main()
