"""The HTTP server of every program: uvicorn, which at the first signal drains and at the second stops at once."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from agentic_core.web.heads import HeadGuard, HeadLimits
from agentic_core.web.linger import Lingering

KEEP_ALIVE_SECONDS = 75
"""Longer than clients and proxies keep idle connections, so that it is they who close them."""

Drain = Callable[[], Awaitable[None]]
"""What to do between the first signal and the moment when no more connections are accepted."""


async def _at_once() -> None:
    """Nothing to wait for."""


class Server(uvicorn.Server):
    """Uvicorn that drains, and returns; by itself it ends by the signal, before the last spans are exported."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal handlers."""
        if self._draining is not None or sig == signal.SIGINT:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True
            return
        self._draining = asyncio.get_running_loop().create_task(self._stop())

    async def _stop(self) -> None:
        await self._drain()
        self.should_exit = True

    @property
    def exit_status(self) -> int:
        """The status that the process should end with, once `serve` has returned."""
        return 0 if self.started else STARTUP_FAILURE


def server(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    shutdown_seconds: int,
    drain: Drain = _at_once,
    heads: HeadLimits | None = None,
) -> Server:
    """A server of the app. What is still in progress `shutdown_seconds` after the drain is cut off."""
    guard = HeadGuard(Lingering(app), heads or HeadLimits())
    connection: Any = guard.connection  # uvicorn takes a class here, and only calls it
    config = uvicorn.Config(
        guard,
        host=host,
        port=port,
        loop="uvloop",
        http=connection,
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_seconds,
    )
    return Server(config, drain)
