"""The probes over HTTP."""

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from agentic_operator.engine import probes
from agentic_operator.engine.metrics import OperatorMetrics
from tests.support.ports import free_port


class Server:
    """The probes on an event loop of their own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.loop = asyncio.new_event_loop()
        self.ready = False
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        serving = probes.serve(OperatorMetrics(), host="127.0.0.1", port=self.port, ready=lambda: self.ready)
        self._runner = asyncio.run_coroutine_threadsafe(serving, self.loop).result(10)

    def get(self, path: str, timeout: float = 10) -> tuple[int, str]:
        """Status and body."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        """End the loop."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


def test_it_is_ready_once_it_is_synchronised(server: Server) -> None:
    assert server.get("/readyz") == (503, "not synchronised yet")
    server.ready = True
    assert server.get("/readyz") == (200, "ok")
    assert "agentic_operator_queue_depth" in server.get("/metrics")[1]


def test_a_loop_that_is_stuck_does_not_answer(server: Server) -> None:
    stuck = threading.Event()
    server.loop.call_soon_threadsafe(stuck.wait, 10)
    with pytest.raises(TimeoutError):
        server.get("/metrics", timeout=0.3)
    stuck.set()
    assert server.get("/metrics")[0] == 200
