"""Runs agents with LangChain's `create_agent`. Imported lazily by `lazy`: it brings LangChain and LangGraph in.

A compiled agent depends only on its wire and its tools; prompt, model, limits and token come with each run. So agents
of the same shape share one, an edited prompt compiles nothing, and no compiled agent can leak anything of a run.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

import langsmith
from langchain.agents import create_agent
from langchain_core.messages import AIMessage

from agentic_core.contract import RunRequest
from agentic_crds.agent_revision import Definition
from agentic_crds.model_provider import ProviderType
from agentic_runtime.chat_models import ChatModels
from agentic_runtime.failures import RunFailed
from agentic_runtime.guard import Guard
from agentic_runtime.loop import Run
from agentic_runtime.messages import to_langchain
from agentic_runtime.metrics import Metrics
from agentic_runtime.middleware import RunMiddleware, RunState
from agentic_runtime.settings import RuntimeSettings
from agentic_runtime.toolbox import Toolbox
from agentic_runtime.tools.base import Tool, ToolContext
from agentic_runtime.tools.http import EgressPolicy, GuardedHttp

Shape = tuple[ProviderType, tuple[str, ...]]
"""What a compiled agent is made of: its wire and its tools."""


class LangChainLoop:
    """A `Loop`. Make it inside the event loop."""

    def __init__(self, settings: RuntimeSettings, tools: Mapping[str, Tool], metrics: Metrics) -> None:
        # LangChain wraps middleware for its maker's tracing, which is off and yet hops through a thread twice a call.
        langsmith.set_runtime_overrides(aio_to_thread=_inline)
        self._models = ChatModels(settings.gateway_url, settings.max_concurrent_runs)
        self._tools = tools
        self._egress = GuardedHttp(EgressPolicy(allow_private=settings.fetch_allow_private, ports=settings.fetch_ports))
        self._metrics = metrics
        self._compiled: OrderedDict[Shape, Any] = OrderedDict()
        self._capacity = settings.compiled_agents

    async def close(self) -> None:
        """Release connections."""
        await self._models.close()
        await self._egress.close()

    def warm(self, wire: ProviderType) -> None:
        """Import the SDK of a wire and build its client. May run in a thread."""
        self._models.get(wire)

    async def run(self, run: Run) -> str:
        """Run the agent of the request."""
        request = run.request
        agent = self._agent(request.definition)
        state = RunState(
            run=run,
            guard=Guard(request.definition.limits),
            tools=ToolContext(deadline=run.deadline, http=self._egress),
        )
        try:
            async with asyncio.timeout_at(run.deadline):
                result = await agent.ainvoke({"messages": to_langchain(request.messages)}, context=state)
        except TimeoutError:
            raise _too_slow(request) from None
        return _output(result)

    def _agent(self, definition: Definition) -> Any:
        shape = (definition.wire, tuple(sorted(definition.tools)))
        if shape in self._compiled:
            self._compiled.move_to_end(shape)
        else:
            self._compiled[shape] = self._compile(shape)
            if len(self._compiled) > self._capacity:
                self._compiled.popitem(last=False)
        return self._compiled[shape]

    def _compile(self, shape: Shape) -> Any:
        wire, names = shape
        absent = [name for name in names if name not in self._tools]
        if absent:
            raise RunFailed(
                "tool_not_installed",
                f"Not installed in the runtime image: {', '.join(absent)}."
                f" Installed: {', '.join(sorted(self._tools))}.",
            )
        model = self._models.get(wire)
        toolbox = Toolbox({name: self._tools[name] for name in names})
        return create_agent(model, middleware=[RunMiddleware(model, toolbox, self._metrics)], context_schema=RunState)


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
        "max_execution_time_exceeded",
        f"The run took longer than its limit of {seconds} s: raise limits.maxExecutionTime or give it less to do.",
    )
