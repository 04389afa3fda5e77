"""Logs are JSON lines with the trace and the context of the moment."""

import json
import logging
import subprocess
import sys
import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from agentic_core import telemetry
from agentic_core.settings import Settings
from tests.requirements import requirement
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE
from tests.telemetry import collector


@pytest.fixture(autouse=True)
def _own_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracer of `configure`, without replacing that of the whole test session."""

    def use(provider: TracerProvider) -> None:
        monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)

    monkeypatch.setattr(trace, "set_tracer_provider", use)


@pytest.fixture(autouse=True)
def _restored_logging() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@requirement("observability")
def test_a_record_carries_context_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("test", Settings())
    with telemetry.log_context(tenant="acme", run="r1"), telemetry.span("work") as span:
        telemetry.logger("here").info("done", count=3)
        logging.getLogger("foreign").warning("said %s", "so")
    own, foreign = (json.loads(line) for line in capsys.readouterr().err.splitlines()[-2:])
    assert own | {"event": "done", "count": 3, "tenant": "acme", "run": "r1", "logger": "here", "level": "info"} == own
    assert own["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert foreign["event"] == "said so"
    assert foreign["tenant"] == "acme"


def test_a_trace_goes_on_through_headers() -> None:
    telemetry.configure("test", Settings())
    with telemetry.span("client"):
        headers = telemetry.inject({})
        expected = telemetry.trace_id()
    with telemetry.span("server", parent=telemetry.extract(headers)):
        assert telemetry.trace_id() == expected
    assert telemetry.trace_id() == ""


PROGRAM = """
import sys, time
from agentic_core import telemetry
from agentic_core.settings import Settings

telemetry.configure("test", Settings(otlp_endpoint=sys.argv[1]))
begun = time.perf_counter()
for _ in range(5000):
    with telemetry.span("work", {"gen_ai.operation.name": "chat"}):
        pass
print(time.perf_counter() - begun)
"""


@pytest.mark.slow
@requirement("observability")
def test_a_collector_that_is_away_costs_neither_time_nor_log_lines() -> None:
    begun = time.monotonic()
    command = [sys.executable, "-c", PROGRAM, f"http://127.0.0.1:{free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert time.monotonic() - begun < telemetry.FLUSH_SECONDS + PATIENCE, "the end of a process does not wait for it"
    assert float(done.stdout) < 10, "spans are made and dropped at once"
    assert len(done.stderr.splitlines()) <= 5, done.stderr


def test_the_last_spans_are_sent_when_a_process_ends() -> None:
    with collector.running() as collected:
        command = [sys.executable, "-c", PROGRAM.replace("5000", "3"), collected.url]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert [span.name for span in collected.spans] == ["work"] * 3
