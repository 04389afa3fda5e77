"""What the operator's metrics count."""

import asyncio
import time

from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.metrics import OperatorMetrics
from tests.operator.engine.tiny import AGENT
from tests.support.waiting import PATIENCE


def samples(metrics: OperatorMetrics) -> dict[tuple[str, ...], float]:
    """The values that are not zero, by name and labels; what the process itself reports is left out."""
    found = [sample for metric in metrics.registry.collect() for sample in metric.samples]
    ours = [one for one in found if one.name.startswith("agentic_") and not one.name.endswith("_created")]
    return {(one.name, *one.labels.values()): one.value for one in ours if one.value}


def test_only_writes_that_were_accepted_count_as_writes() -> None:
    metrics = OperatorMetrics()
    for verb, answer in (("apply", 200), ("create", 201), ("apply", 409), ("get", 200), ("delete", 0)):
        metrics.requested(verb, "Agent", answer)
    metrics.restarted("Tenant")
    metrics.rejected("ConfigMap")
    assert samples(metrics) == {
        ("agentic_operator_writes_total", "apply", "Agent"): 1,
        ("agentic_operator_writes_total", "create", "Agent"): 1,
        ("agentic_operator_requests_total", "apply", "200"): 1,
        ("agentic_operator_requests_total", "create", "201"): 1,
        ("agentic_operator_requests_total", "apply", "409"): 1,
        ("agentic_operator_requests_total", "get", "200"): 1,
        ("agentic_operator_requests_total", "delete", "0"): 1,
        ("agentic_operator_watch_restarts_total", "Tenant"): 1,
        ("agentic_operator_objects_rejected_total", "ConfigMap"): 1,
    }


def test_the_exposition_can_be_scraped() -> None:
    metrics = OperatorMetrics()
    metrics.reconciled(ReconcileKey("tiny", AGENT.ref("one", "acme")), "settled", seconds=0.002)
    text = metrics.text().decode()
    assert (
        'agentic_operator_reconcile_seconds_bucket{controller="tiny",kind="Agent",le="0.0025",outcome="settled"} 1.0'
        in text
    )
    assert "process_resident_memory_bytes" in text


async def test_a_blocked_event_loop_shows_as_lag() -> None:
    metrics = OperatorMetrics()
    measuring = asyncio.create_task(metrics.measure_lag(every=0.01))
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - blocking is what is measured
    async with asyncio.timeout(PATIENCE):
        while not samples(metrics):
            await asyncio.sleep(0)
    measuring.cancel()
    assert samples(metrics)["agentic_operator_loop_lag_seconds",] > 0.1
