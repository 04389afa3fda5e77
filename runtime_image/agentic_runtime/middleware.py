"""Our middleware of LangChain's agent: every model call and every tool call of every agent goes through it.

It streams the model's answer to the client, counts it against the run's limits while it arrives, and runs tools with a
span, a metric and an answer to the model whatever they do. `langchain_loop` compiles it into each agent; what belongs
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
from agentic_runtime.answer import Answer
from agentic_runtime.failures import RunFailed, model_failure
from agentic_runtime.guard import Guard, estimate
from agentic_runtime.loop import Run
from agentic_runtime.metrics import Metrics
from agentic_runtime.toolbox import Result, Toolbox
from agentic_runtime.tools.base import ToolContext

log = telemetry.logger(__name__)


@dataclass
class RunState:
    """What the nodes of one run share."""

    run: Run
    guard: Guard
    tools: ToolContext
    malformed: dict[str, str] = field(default_factory=dict)
    """Tool calls that must not run, by id, with the reason."""


class RunMiddleware(AgentMiddleware[AgentState[Any], RunState, Any]):
    """Streams, counts and reports."""

    def __init__(self, model: BaseChatModel, toolbox: Toolbox, metrics: Metrics) -> None:
        super().__init__()
        # The tools as the provider wants them, converted once for each compiled agent instead of at each call.
        schemas = toolbox.schemas()
        bound: Any = model.bind_tools(schemas) if schemas else None
        self._tools: Mapping[str, Any] = bound.kwargs if bound else {}
        self._toolbox = toolbox
        self._metrics = metrics

    async def awrap_model_call(
        self,
        request: ModelRequest[RunState],
        handler: Callable[[ModelRequest[RunState]], Awaitable[ModelResponse[Any]]],
    ) -> AIMessage:
        """Streams the model itself instead of calling the handler, which would only return the whole answer."""
        state = request.runtime.context
        definition = state.run.request.definition
        system = [SystemMessage(definition.system_prompt)] if definition.system_prompt else []
        prompt: list[AnyMessage] = [*system, *request.messages]
        left = state.guard.begin(_prompt_tokens(prompt))
        answer = Answer()
        budget_bound = left < definition.max_output_tokens
        try:
            await self._stream(request.model, prompt, answer, state, min(left, definition.max_output_tokens))
        except RunFailed:
            if answer.text:
                await state.run.emit(contract.MessageDone(message=_wire(AIMessage(answer.text))))
            if answer.started:
                await _report(answer, state)
            raise
        message = answer.message()
        state.malformed.update(answer.malformed)
        await state.run.emit(contract.MessageDone(message=_wire(message)))
        usage = await _report(answer, state)
        state.guard.settle(usage)
        if answer.cut and budget_bound:
            state.guard.exhausted()
        return message

    async def _stream(
        self, model: BaseChatModel, prompt: list[AnyMessage], answer: Answer, state: RunState, max_tokens: int
    ) -> None:
        definition = state.run.request.definition
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
                    gen_ai.GEN_AI_CONVERSATION_ID: state.run.request.conversation_id,
                },
                kind=SpanKind.CLIENT,
            ) as span:
                chunks: Any = model.astream(prompt, extra_headers=_headers(state.run), **settings)
                async with aclosing(chunks):
                    async for chunk in chunks:
                        await self._chunk(chunk, answer, state)
                _describe(span, answer)
        except RunFailed:
            raise
        except Exception as error:
            log.warning("model call failed", error=type(error).__name__, status=getattr(error, "status_code", None))
            raise model_failure(error) from error

    async def _chunk(self, chunk: AIMessageChunk, answer: Answer, state: RunState) -> None:
        text, produced = answer.add(chunk)
        if text:
            await state.run.emit(contract.MessageDelta(text=text))
        if produced:
            state.guard.streamed(produced)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage:
        """Runs a tool of the toolbox instead of calling the handler, which knows none, or tells the model why not."""
        state = cast("RunState", request.runtime.context)
        asked = request.tool_call
        call = contract.ToolCall(id=asked["id"] or "", name=asked["name"], arguments=asked["args"])
        label = call.name if call.name in self._toolbox else "unknown"
        await state.run.emit(contract.ToolStarted(call=call))
        started = time.perf_counter()
        with telemetry.span(
            f"execute_tool {label}",
            {
                gen_ai.GEN_AI_OPERATION_NAME: "execute_tool",
                gen_ai.GEN_AI_TOOL_NAME: label,
                gen_ai.GEN_AI_TOOL_TYPE: "function",
                gen_ai.GEN_AI_TOOL_CALL_ID: call.id,
            },
        ) as span:
            broken = state.malformed.get(call.id)
            result = Result(broken, is_error=True) if broken else await self._toolbox.run(call, state.tools)
            if result.is_error:
                telemetry.failed(span, "tool_error")
        self._metrics.tool_calls.labels(label, "error" if result.is_error else "success").inc()
        await state.run.emit(
            contract.ToolEnded(
                id=call.id,
                name=call.name,
                content=result.content,
                is_error=result.is_error,
                duration_ms=round((time.perf_counter() - started) * 1000),
            )
        )
        status = "error" if result.is_error else "success"
        return ToolMessage(result.content, tool_call_id=call.id, name=call.name, status=status)


def _describe(span: Span, answer: Answer) -> None:
    """What the provider counted, as far as it did."""
    if answer.usage:
        span.set_attribute(gen_ai.GEN_AI_USAGE_INPUT_TOKENS, answer.usage.input_tokens)
        span.set_attribute(gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS, answer.usage.output_tokens)


def _headers(run: Run) -> dict[str, str]:
    """The credential of the run, spelt like both SDKs spell theirs so that it takes its place, and the trace."""
    return telemetry.inject({"Authorization": f"Bearer {run.token}"})


async def _report(answer: Answer, state: RunState) -> contract.Usage:
    usage = answer.usage or state.guard.in_flight()
    model = state.run.request.definition.models[0].ref
    await state.run.emit(contract.UsageReported(model=model, usage=usage))
    return usage


def _prompt_tokens(prompt: list[AnyMessage]) -> int:
    return sum(estimate(message.content) for message in prompt if isinstance(message.content, str))


def _wire(message: AIMessage) -> contract.Message:
    calls = [
        contract.ToolCall(id=call["id"] or "", name=call["name"], arguments=call["args"]) for call in message.tool_calls
    ]
    return contract.Message(role="assistant", content=message.text, tool_calls=calls)
