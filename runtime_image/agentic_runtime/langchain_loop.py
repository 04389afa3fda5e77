"""Runs agents with LangChain's `create_agent`. Imported lazily by `lazy`: it brings LangChain and LangGraph in.

A compiled agent depends only on its wire and its tools; prompt, model, limits and token come with each run. So agents
of the same shape share one, an edited prompt compiles nothing, and no compiled agent can leak anything of a run.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Any

import langsmith
from cachetools import LRUCache
from langchain.agents import create_agent
from langchain_core.messages import AIMessage

from agentic_core.builtins import BUILTIN
from agentic_core.contract import ErrorCode, RunRequest
from agentic_crds.agent_revision import Definition, DefinitionTool
from agentic_crds.model_provider import ProviderType
from agentic_runtime.chat_models import ChatModels
from agentic_runtime.failures import RunFailed
from agentic_runtime.limits import LimitMeter
from agentic_runtime.loop import RunJob
from agentic_runtime.messages import to_langchain
from agentic_runtime.metrics import RuntimeMetrics
from agentic_runtime.middleware import RunContext, RunMiddleware
from agentic_runtime.settings import RuntimeSettings
from agentic_runtime.toolbox import OfferedTool, Toolbox, offered
from agentic_runtime.tools.base import Tool, ToolContext
from agentic_runtime.tools.http import EgressPolicy, GuardedHttp

Shape = tuple[ProviderType, tuple[str, ...]]
"""What a compiled agent is made of: its wire and its tools as JSON, in an order that does not depend on the agent's."""


class LangChainLoop:
    """A `Loop`. Make it inside the event loop."""

    def __init__(self, settings: RuntimeSettings, tools: Mapping[str, Tool], metrics: RuntimeMetrics) -> None:
        # LangChain wraps middleware for its maker's tracing, which is off and yet hops through a thread twice a call.
        langsmith.set_runtime_overrides(aio_to_thread=_inline)
        self._models = ChatModels(settings.gateway_url, settings.max_concurrent_runs)
        self._tools = tools
        self._egress = GuardedHttp(EgressPolicy(allow_private=settings.fetch_allow_private, ports=settings.fetch_ports))
        self._metrics = metrics
        self._compiled: LRUCache[Shape, Any] = LRUCache(settings.compiled_agents)

    async def close(self) -> None:
        """Release connections."""
        await self._models.close()
        await self._egress.close()

    def warm(self, wire: ProviderType) -> None:
        """Import the SDK of a wire and build its client. May run in a thread."""
        self._models.get(wire)

    async def run(self, run: RunJob) -> str:
        """Run the agent of the request."""
        request = run.request
        agent = self._agent(request.definition)
        context = RunContext(
            run=run,
            limits=LimitMeter(request.definition.limits),
            tools=ToolContext(deadline=run.deadline, http=self._egress),
        )
        try:
            async with asyncio.timeout_at(run.deadline):
                result = await agent.ainvoke({"messages": to_langchain(request.messages)}, context=context)
        except TimeoutError:
            raise _too_slow(request) from None
        return _output(result)

    def _agent(self, definition: Definition) -> Any:
        tools = sorted(definition.tools, key=lambda tool: tool.name)
        shape = (definition.wire, tuple(tool.model_dump_json() for tool in tools))
        if shape not in self._compiled:
            self._compiled[shape] = self._compile(definition.wire, tools)
        return self._compiled[shape]

    def _compile(self, wire: ProviderType, tools: Sequence[DefinitionTool]) -> Any:
        model = self._models.get(wire)
        toolbox = Toolbox(self._offered(tools))
        return create_agent(model, middleware=[RunMiddleware(model, toolbox, self._metrics)], context_schema=RunContext)

    def _offered(self, tools: Sequence[DefinitionTool]) -> list[OfferedTool]:
        """The tools with what carries their calls out; fails the run if this runtime cannot."""
        foreign = [f"{tool.name} ({tool.kind})" for tool in tools if tool.kind != BUILTIN]
        if foreign:
            raise RunFailed(
                ErrorCode.TOOL_NOT_INSTALLED,
                f"Tools of a kind that this runtime does not support: {', '.join(foreign)}. It supports {BUILTIN}."
                " Use a newer runtime image.",
            )
        absent = [name for tool in tools if (name := tool.builtin or tool.name) not in self._tools]
        if absent:
            raise RunFailed(
                ErrorCode.TOOL_NOT_INSTALLED,
                f"Not installed in the runtime image: {', '.join(absent)}."
                f" Installed: {', '.join(sorted(self._tools))}.",
            )
        return [offered(tool, self._tools[tool.builtin or tool.name]) for tool in tools]


async def _inline(
    _default: Callable[..., Any], context: Context, function: Callable[..., Any], /, *args: Any, **options: Any
) -> Any:
    return context.run(function, *args, **options)


def _output(result: Mapping[str, Any]) -> str:
    last = result["messages"][-1]
    return last.text if isinstance(last, AIMessage) else ""


def _too_slow(request: RunRequest) -> RunFailed:
    seconds = request.definition.limits.max_execution_time
    return RunFailed(
        ErrorCode.MAX_EXECUTION_TIME_EXCEEDED,
        f"The run took longer than its limit of {seconds} s: raise limits.maxExecutionTime or give it less to do.",
    )
