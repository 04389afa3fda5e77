"""The console script `agentic-runtime`: reads settings, serves, and drains on SIGTERM."""

import asyncio
import logging
import os
import signal
from types import FrameType

import uvicorn
import uvloop

from agentic_core import telemetry
from agentic_runtime.app import Server, create_server
from agentic_runtime.settings import RuntimeSettings

log = telemetry.logger(__name__)

TALKATIVE = ("httpx2", "httpcore2", "openai", "anthropic", "langchain", "langsmith", "aiohttp")
"""Libraries that log each request, and at debug level its whole text."""

TRACING_SWITCHES = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
"""LangChain would send prompts to a service of its maker when one of these is on."""


class DrainingServer(uvicorn.Server):
    """Uvicorn that keeps answering while runs in progress finish; by itself it closes its door at the first signal."""

    def __init__(self, config: uvicorn.Config, server: Server, settings: RuntimeSettings) -> None:
        super().__init__(config)
        self._server = server
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second stops at once."""
        if self._server.runs.draining:
            self.should_exit = self.force_exit = True
            return
        self._server.runs.draining = True
        self._loop.call_soon_threadsafe(self._begin, signal.Signals(sig).name)

    def _begin(self, name: str) -> None:
        self._draining = self._loop.create_task(self._drain(name))

    async def _drain(self, name: str) -> None:
        log.info("draining", signal=name, grace=self._settings.drain_grace)
        linger = asyncio.sleep(self._settings.drain_linger)
        await asyncio.gather(self._server.runs.drain(grace=self._settings.drain_grace), linger)
        self.should_exit = True


async def serve(settings: RuntimeSettings) -> None:
    """Serve until a signal ends it."""
    server = create_server(settings)
    config = uvicorn.Config(
        server.app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    await DrainingServer(config, server, settings).serve()


def main() -> None:
    """Run the agent server."""
    for switch in TRACING_SWITCHES:
        os.environ[switch] = "false"
    settings = RuntimeSettings()  # pyright: ignore[reportCallIssue] - required fields come from the environment
    telemetry.configure("agent-runtime", settings)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    uvloop.run(serve(settings))
