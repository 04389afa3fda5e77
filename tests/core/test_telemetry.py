"""Logs are JSON lines with the trace and the context of the moment."""

import json
import logging

import pytest

from agentic_core import telemetry
from agentic_core.settings import Settings
from tests.requirements import requirement


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
