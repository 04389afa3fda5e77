"""A gateway for each test, on a fresh database."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from tests.gateway import support
from tests.gateway.faults import FaultServer
from tests.support import aimock as aimock_support
from tests.support.aimock import Aimock, aimock
from tests.support.postgres import PostgresDatabase

__all__ = ["aimock"]


@pytest.fixture
async def gateway(postgres: PostgresDatabase, tmp_path: Path) -> AsyncGenerator[support.Running]:
    """A gateway without providers."""
    async with support.gateway(postgres, tmp_path) as running:
        yield running


@pytest.fixture
async def upstream() -> AsyncGenerator[FaultServer]:
    """A provider that does what the test says."""
    async with FaultServer() as server:
        yield server


@pytest.fixture
def mocked(gateway: support.Running, aimock: Aimock) -> support.Running:
    """A gateway with aimock behind it: `mock` speaks OpenAI's wire, `claude` Anthropic's."""
    models = ("gpt-mock", "always-limited", "always-broken", "refuses", "cut-off", "slow", "embedder")
    gateway.resources.provider("mock", f"{aimock.url}/v1", *models, key=aimock_support.KEY)
    gateway.resources.provider("claude", aimock.url, *models, kind="anthropic", key=aimock_support.KEY)
    return gateway


@pytest.fixture
def log_text(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What was logged: to the terminal, or, where a test before has configured telemetry, to the log of the process."""
    return lambda: "".join(capfd.readouterr()) + caplog.text
