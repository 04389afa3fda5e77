"""The LangChain loop, imported when it is first needed or by `warm`: the server is ready long before LangChain is.

The composition root makes it. Imports happen in a thread, so that probes get responses meanwhile.
"""

import asyncio
from typing import TYPE_CHECKING

from agentic_core import garbage, telemetry
from agentic_crds.model_provider import ProviderType
from agentic_runtime.loop import RunJob
from agentic_runtime.metrics import RuntimeMetrics
from agentic_runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from agentic_runtime.langchain_loop import LangChainLoop
    from agentic_runtime.tools.base import Tool

log = telemetry.logger(__name__)


class LazyLoop:
    """A `Loop` that becomes the LangChain one."""

    def __init__(self, settings: RuntimeSettings, metrics: RuntimeMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._loop: LangChainLoop | None = None
        self._loading = asyncio.Lock()

    async def run(self, run: RunJob) -> str:
        """Run the agent, after loading LangChain if this is the first."""
        loop = self._loop or await self._load()
        return await loop.run(run)

    async def warm(self) -> None:
        """Load LangChain and the SDKs that the settings name."""
        loop = await self._load()
        for wire in self._settings.warm:
            await asyncio.to_thread(loop.warm, ProviderType(wire))
        garbage.spare()

    async def close(self) -> None:
        """Release connections."""
        if self._loop:
            await self._loop.close()

    async def _load(self) -> "LangChainLoop":
        async with self._loading:
            if self._loop is None:
                loop_class, tools = await asyncio.to_thread(_import)
                self._loop = loop_class(self._settings, tools, self._metrics)
                log.info("agent loop loaded", tools=sorted(tools))
            return self._loop


def _import() -> tuple[type["LangChainLoop"], dict[str, "Tool"]]:
    """The slow part, off the event loop."""
    from agentic_runtime.langchain_loop import LangChainLoop  # noqa: PLC0415 - heavy
    from agentic_runtime.tools import registry  # noqa: PLC0415 - plugins may be heavy

    return LangChainLoop, registry.installed()
