"""The console script `agentic-runtime`: reads settings, serves, and drains on SIGTERM."""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

import uvloop

from agentic_core import telemetry
from agentic_core.settings import load, parser
from agentic_core.web.server import server
from agentic_runtime.app import create_server
from agentic_runtime.settings import RuntimeSettings

log = telemetry.logger(__name__)

TALKATIVE = ("httpx2", "httpcore2", "openai", "anthropic", "langchain", "langsmith", "aiohttp")
"""Libraries that log each request, and at debug level its whole text."""

TRACING_SWITCHES = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
"""LangChain would send prompts to a service of its maker when one of these is on."""


async def serve(settings: RuntimeSettings) -> int:
    """Serve until a signal ends it; returns the status of the process."""
    made = create_server(settings)

    async def drain() -> None:
        """New runs are rejected with a response while those in progress finish."""
        log.info("draining", grace=settings.drain_grace)
        await asyncio.gather(made.runs.drain(grace=settings.drain_grace), asyncio.sleep(settings.drain_linger))

    running = server(made.app, host=settings.host, port=settings.port, shutdown_seconds=5, drain=drain)
    await running.serve()
    return running.exit_status


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the agent server."""
    for switch in TRACING_SWITCHES:
        os.environ[switch] = "false"
    parser("agentic-runtime", "The runtime of agents of the Agentic Platform.", RuntimeSettings).parse_args(arguments)
    settings = load(RuntimeSettings)
    telemetry.configure("agent-runtime", settings)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.exit(uvloop.run(serve(settings)))
