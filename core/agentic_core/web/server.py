"""The HTTP server: uvicorn that bounds a request's head, and that drains before it stops. `main` runs it."""

import asyncio
import signal
from types import FrameType

import orjson
import uvicorn
from starlette.types import ASGIApp

from agentic_core.web.lifecycle import Lifecycle
from agentic_core.web.problems import PROBLEM_JSON, URN
from agentic_core.web.protocol import BoundedProtocol

HEAD_BYTES = 64 * 1024
"""Most bytes of a request's headers."""
HEAD_SECONDS = 10.0
"""Seconds in which they must arrive."""
KEEP_ALIVE_SECONDS = 75


class ApiProtocol(BoundedProtocol):
    """HTTP/1.1 whose refusals are problem documents."""

    most = HEAD_BYTES
    seconds = HEAD_SECONDS

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        detail = f"{msg} Send HTTP/1.1."
        problem = {"type": f"{URN}malformed", "title": "Malformed request", "status": 400, "detail": detail}
        body = orjson.dumps(problem | {"code": "malformed", "request_id": "", "trace_id": ""})
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()


class DrainingServer(uvicorn.Server):
    """Fails readiness at the first signal, stops accepting a little later; a second signal stops at once."""

    def __init__(self, config: uvicorn.Config, *, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal handlers."""
        if self._lifecycle.draining or sig == signal.SIGINT:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self._stop()
            return
        self._lifecycle.drain(self._drain_seconds + (self.config.timeout_graceful_shutdown or 0))
        asyncio.get_running_loop().call_later(self._drain_seconds, self._stop)

    def _stop(self) -> None:
        """Not uvicorn's way, which ends the process by the same signal: then nobody sends the last spans."""
        self.should_exit = True


def server(
    app: ASGIApp, *, host: str, port: int, lifecycle: Lifecycle, drain_seconds: float, shutdown_timeout: int
) -> DrainingServer:
    """A server of the app."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=ApiProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_timeout,
    )
    return DrainingServer(config, lifecycle=lifecycle, drain_seconds=drain_seconds)
