"""Our middleware of LangChain's agent: every model call and every tool call of every agent goes through it.

It streams the model's response to the client, counts it against the run's limits while it arrives, and runs tools with
a span, a metric and a result for the model whatever they do. `langchain_loop` compiles it into each agent; what belongs
to one run comes in as the agent's context.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from langchain.agents import AgentState
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, SystemMessage, ToolMessage
from langgraph.types import Command
from opentelemetry.trace import Span, SpanKind

from agentic_core import contract, telemetry
from agentic_core.attributes import gen_ai
from agentic_runtime import chat_models
from agentic_runtime.failures import RunFailed, model_failure
from agentic_runtime.limits import LimitMeter, estimate
from agentic_runtime.loop import RunJob
from agentic_runtime.metrics import RuntimeMetrics
from agentic_runtime.streamed import StreamedMessage
from agentic_runtime.toolbox import Toolbox, ToolResult
from agentic_runtime.tools.base import ToolContext

log = telemetry.logger(__name__)


@dataclass
class RunContext:
    """What the model calls and tool calls of one run share; LangChain passes it along as the agent's context."""

    run: RunJob
    limits: LimitMeter
    tools: ToolContext
    malformed: dict[str, str] = field(default_factory=dict)
    """Tool calls that must not run, by id, with the reason."""


class RunMiddleware(AgentMiddleware[AgentState[Any], RunContext, Any]):
    """Streams, counts and reports."""

    def __init__(self, model: BaseChatModel, toolbox: Toolbox, metrics: RuntimeMetrics) -> None:
        super().__init__()
        # The tools in the provider's form, converted once for each compiled agent instead of at each call.
        schemas = toolbox.schemas()
        bound: Any = model.bind_tools(schemas) if schemas else None
        self._tools: Mapping[str, Any] = bound.kwargs if bound else {}
        self._toolbox = toolbox
        self._metrics = metrics

    async def awrap_model_call(
        self,
        request: ModelRequest[RunContext],
        handler: Callable[[ModelRequest[RunContext]], Awaitable[ModelResponse[Any]]],
    ) -> AIMessage:
        """Streams the model itself instead of calling the handler, which would only return the whole response."""
        context = request.runtime.context
        definition = context.run.request.definition
        system = [SystemMessage(definition.system_prompt)] if definition.system_prompt else []
        prompt: list[AnyMessage] = [*system, *request.messages]
        left = context.limits.begin(_prompt_tokens(prompt))
        response = StreamedMessage()
        budget_bound = left < definition.max_output_tokens
        try:
            await self._stream(request.model, prompt, response, context, min(left, definition.max_output_tokens))
        except RunFailed:
            if response.text:
                await context.run.emit(contract.MessageDone(message=_wire(AIMessage(response.text))))
            if response.started:
                await _report(response, context)
            raise
        message = response.message()
        context.malformed.update(response.malformed)
        await context.run.emit(contract.MessageDone(message=_wire(message)))
        usage = await _report(response, context)
        context.limits.settle(usage)
        if response.cut and budget_bound:
            context.limits.exhausted()
        return message

    async def _stream(
        self,
        model: BaseChatModel,
        prompt: list[AnyMessage],
        response: StreamedMessage,
        context: RunContext,
        max_tokens: int,
    ) -> None:
        definition = context.run.request.definition
        settings: dict[str, Any] = {**self._tools, "model": definition.models[0].ref, "max_tokens": max_tokens}
        if definition.temperature is not None:
            settings["temperature"] = definition.temperature
        name = definition.models[0].name
        try:
            with telemetry.span(
                f"chat {name}",
                {
                    gen_ai.GEN_AI_OPERATION_NAME: "chat",
                    gen_ai.GEN_AI_PROVIDER_NAME: definition.wire.telemetry_name,
                    gen_ai.GEN_AI_REQUEST_MODEL: name,
                    gen_ai.GEN_AI_REQUEST_MAX_TOKENS: max_tokens,
                    gen_ai.GEN_AI_CONVERSATION_ID: context.run.request.conversation_id,
                },
                kind=SpanKind.CLIENT,
            ) as span:
                chunks = chat_models.stream(model, prompt, extra_headers=_headers(context.run), **settings)
                async with aclosing(chunks):
                    async for chunk in chunks:
                        await self._chunk(chunk, response, context)
                _describe(span, response)
        except RunFailed:
            raise
        except Exception as error:
            log.warning("model call failed", error=type(error).__name__, status=getattr(error, "status_code", None))
            raise model_failure(error) from error

    async def _chunk(self, chunk: AIMessageChunk, response: StreamedMessage, context: RunContext) -> None:
        added = response.add(chunk)
        if added.text:
            await context.run.emit(contract.MessageDelta(text=added.text))
        context.limits.streamed(added.produced, calls=added.calls)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage:
        """Runs a tool of the toolbox instead of calling the handler, which has none; the model gets any error."""
        context = cast("RunContext", request.runtime.context)
        requested = request.tool_call
        call = contract.ToolCall(id=requested["id"] or "", name=requested["name"], arguments=requested["args"])
        name = call.name if call.name in self._toolbox else "unknown"
        await context.run.emit(contract.ToolStarted(call=call))
        started = time.perf_counter()
        with telemetry.span(
            f"execute_tool {name}",
            {
                gen_ai.GEN_AI_OPERATION_NAME: "execute_tool",
                gen_ai.GEN_AI_TOOL_NAME: name,
                gen_ai.GEN_AI_TOOL_TYPE: "function",
                gen_ai.GEN_AI_TOOL_CALL_ID: call.id,
            },
        ) as span:
            broken = context.malformed.get(call.id)
            result = ToolResult(broken, is_error=True) if broken else await self._toolbox.run(call, context.tools)
            if result.is_error:
                telemetry.failed(span, "tool_error")
        status = "error" if result.is_error else "success"
        self._metrics.tool_calls.labels(self._toolbox.label(call.name), status).inc()
        await context.run.emit(
            contract.ToolEnded(
                id=call.id,
                name=call.name,
                content=result.content,
                is_error=result.is_error,
                duration_ms=round((time.perf_counter() - started) * 1000),
            )
        )
        return ToolMessage(result.content, tool_call_id=call.id, name=call.name, status=status)


def _describe(span: Span, response: StreamedMessage) -> None:
    """What the provider counted, as far as it did."""
    if response.usage:
        span.set_attribute(gen_ai.GEN_AI_USAGE_INPUT_TOKENS, response.usage.input_tokens)
        span.set_attribute(gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS, response.usage.output_tokens)


def _headers(run: RunJob) -> dict[str, str]:
    """The credential of the run, spelt as both SDKs spell theirs so that it replaces it, and the trace."""
    return telemetry.inject({"Authorization": f"Bearer {run.token}"})


async def _report(response: StreamedMessage, context: RunContext) -> contract.Usage:
    usage = response.usage or context.limits.in_flight()
    model = context.run.request.definition.models[0].ref
    await context.run.emit(contract.UsageReported(model=model, usage=usage))
    return usage


def _prompt_tokens(prompt: list[AnyMessage]) -> int:
    return sum(estimate(message.content) for message in prompt if isinstance(message.content, str))


def _wire(message: AIMessage) -> contract.Message:
    calls = [
        contract.ToolCall(id=call["id"] or "", name=call["name"], arguments=call["args"]) for call in message.tool_calls
    ]
    return contract.Message(role="assistant", content=message.text, tool_calls=calls)
