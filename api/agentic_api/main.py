"""The program `agentic-api`: serves the REST api, migrates the database, or installs what has to exist before."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from agentic_api import composition
from agentic_api.app import create_app
from agentic_api.install.installer import install
from agentic_api.install.secrets import ClusterStore, FolderStore
from agentic_api.settings import ApiSettings, InstallSettings
from agentic_core import garbage, telemetry
from agentic_core.cluster import Cluster, credentials
from agentic_core.db import migrate
from agentic_core.names import API
from agentic_core.settings import load, parser
from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.server import server


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "migrate":
            settings = load(InstallSettings)
            telemetry.configure(API, settings)
            asyncio.run(migrate.upgrade(settings.migrator_dsn.get_secret_value()))
        case "install":
            settings = load(InstallSettings)
            telemetry.configure(API, settings)
            asyncio.run(_install(settings, options.folder))
        case _:
            serve(load(ApiSettings))


def serve(settings: ApiSettings) -> None:
    """Serve until a signal says to stop."""
    telemetry.configure(API, settings)
    garbage.spare()
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    metrics, lifecycle = HttpMetrics(registry), Lifecycle()
    app = create_app(
        settings,
        metrics,
        lambda: composition.opened(settings, registry=registry, http_metrics=metrics, lifecycle=lifecycle),
    )

    async def drain() -> None:
        """Readiness fails, and some time later no connection is accepted any more."""
        lifecycle.drain(settings.drain_seconds + settings.shutdown_timeout)
        await asyncio.sleep(settings.drain_seconds)

    running = server(
        app,
        host=settings.host,
        port=settings.port,
        shutdown_seconds=settings.shutdown_timeout,
        drain=drain,
    )
    uvloop.run(running.serve())
    sys.exit(running.exit_status)


async def _install(settings: InstallSettings, folder: Path | None) -> None:
    dsn = settings.migrator_dsn.get_secret_value()
    if folder is not None:
        key = await install(FolderStore(folder), dsn=dsn)
        sys.stdout.write(f"{key}\n")
        return
    async with Cluster(credentials.load(settings.kubeconfig)) as cluster:
        await install(ClusterStore(cluster, settings.namespace), dsn=dsn)


def _parser() -> argparse.ArgumentParser:
    options = parser("agentic-api", "The REST api of the Agentic Platform.", ApiSettings)
    commands = options.add_subparsers(dest="command", metavar="command")
    commands.add_parser("serve", help="serve the api (the default)")
    commands.add_parser("migrate", help="bring the database up to date")
    installing = commands.add_parser("install", help="make the platform's secrets, tables and first admin key")
    installing.add_argument(
        "--folder", type=Path, help="keep the secrets in this folder instead of a cluster, and print the admin key"
    )
    return options
