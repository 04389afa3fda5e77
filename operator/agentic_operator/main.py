"""Composition root of the operator: settings, telemetry, clients, leadership, engine. The script `agentic-operator`."""

from collections.abc import Sequence

import uvloop

from agentic_core import garbage, names, telemetry
from agentic_core.cluster import Cluster, Options, credentials
from agentic_core.egress import provider_guard
from agentic_core.settings import load, parser
from agentic_operator.controllers.registry import controllers
from agentic_operator.engine.controller import AnyController
from agentic_operator.engine.engine import Engine
from agentic_operator.engine.leader import LeaderLease
from agentic_operator.engine.metrics import OperatorMetrics
from agentic_operator.process import OperatorProcess
from agentic_operator.settings import OperatorSettings


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the operator until a signal, or until another one leads."""
    parser("agentic-operator", "The operator of the Agentic Platform.", OperatorSettings).parse_args(arguments)
    settings = load(OperatorSettings)
    telemetry.configure(names.OPERATOR, settings)
    garbage.spare()
    uvloop.run(_run(settings))


async def _run(settings: OperatorSettings) -> None:
    guard = await provider_guard(private=settings.private_providers, namespace=settings.namespace)
    await run(settings, controllers(settings.platform, guard))


async def run(settings: OperatorSettings, all_controllers: Sequence[AnyController]) -> None:
    """Serve the probes, wait for leadership, converge until SIGTERM. Ends the process when leadership is lost."""
    access = credentials.load(settings.kubeconfig)
    metrics = OperatorMetrics()
    async with Cluster(access, Options(timeout=5.0, attempts=1)) as election:
        lease = LeaderLease(election, namespace=settings.namespace, name=names.OPERATOR, identity=settings.identity)
        options = Options(may_write=lease.may_write, observer=metrics.requested)
        async with Cluster(access, options) as cluster:
            engine = Engine(cluster, controllers=all_controllers, metrics=metrics)
            await OperatorProcess(settings, access, lease=lease, engine=engine, metrics=metrics).run()


if __name__ == "__main__":
    main()
