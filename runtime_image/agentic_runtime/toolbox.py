"""The tools of one agent: offers them to the model and runs its calls. The middleware holds one; LangChain-free.

Whatever a model calls and whatever a tool does, the result is a text for the model.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from agentic_core import telemetry
from agentic_core.builtins import DEFAULT_POLICY
from agentic_core.contract import ToolCall
from agentic_crds.agent_revision import DefinitionTool, ToolPolicy
from agentic_runtime.streamed import clean
from agentic_runtime.tools.base import Tool, ToolContext, ToolFailed

log = telemetry.logger(__name__)

MAX_MISTAKES: Final = 10
"""Mistakes in the arguments of a call that are listed for the model, each with so many characters of where and what."""
MAX_MISTAKE_CHARACTERS: Final = 200


@dataclass(frozen=True)
class ToolResult:
    """What the model gets."""

    content: str
    is_error: bool = False


@dataclass(frozen=True)
class OfferedTool:
    """A tool as one agent offers it: under its own name, described and bounded as the definition says."""

    name: str
    tool: Tool
    description: str
    parameters: Mapping[str, Any]
    policy: ToolPolicy


def offered(declared: DefinitionTool, installed: Tool) -> OfferedTool:
    """The installed tool as it is declared; what the declaration leaves open is the tool's own."""
    return OfferedTool(
        name=declared.name,
        tool=installed,
        description=declared.description or installed.description,
        parameters=declared.input_schema or installed.input.model_json_schema(),
        policy=declared.policy or DEFAULT_POLICY,
    )


class Toolbox:
    """Tools by the name that the model calls."""

    def __init__(self, tools: Iterable[OfferedTool]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def label(self, name: str) -> str:
        """What a call is counted under: the installed tool's name, since agents choose others; unknown if not here."""
        found = self._tools.get(name)
        return found.tool.name if found else "unknown"

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def schemas(self) -> list[dict[str, Any]]:
        """The tools as OpenAI describes functions; LangChain turns that into each provider's form."""
        return [
            {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            for tool in self._tools.values()
        ]

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run a call if there is such a tool and the arguments fit its schema."""
        found = self._tools.get(call.name)
        if found is None:
            available = ", ".join(self._tools) or "none"
            return ToolResult(f"There is no such tool. Available: {available}.", is_error=True)
        try:
            arguments = found.tool.input.model_validate(call.arguments)
        except ValidationError as error:
            return ToolResult(_mistakes(error), is_error=True)
        return await _bounded(found, arguments, context)


async def _bounded(offer: OfferedTool, arguments: Any, context: ToolContext) -> ToolResult:
    """The tool's result within its policy."""
    seconds = offer.policy.timeout_seconds
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            text = await offer.tool(arguments, _until(context, timeout.when()))
    except ToolFailed as error:
        return ToolResult(clean(error.message), is_error=True)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises must not end the run
        if timeout.expired():
            return ToolResult(f"The tool did not finish within {seconds} s.", is_error=True)
        log.warning("tool failed", tool=offer.tool.name, error=type(error).__name__)
        return ToolResult(f"The tool failed: {type(error).__name__}.", is_error=True)
    return ToolResult(_shortened(clean(text), offer.policy.max_result_bytes or DEFAULT_POLICY.max_result_bytes))


def _until(context: ToolContext, deadline: float | None) -> ToolContext:
    return context if deadline is None else replace(context, deadline=min(context.deadline, deadline))


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    listed = "; ".join(
        f"{'.'.join(map(str, mistake['loc']))[:MAX_MISTAKE_CHARACTERS] or 'arguments'}:"
        f" {mistake['msg'][:MAX_MISTAKE_CHARACTERS]}"
        for mistake in found[:MAX_MISTAKES]
    )
    if len(found) > MAX_MISTAKES:
        listed += f"; and {len(found) - MAX_MISTAKES} more"
    return clean(f"The arguments break the tool's schema: {listed}. Call the tool again with correct arguments.")


def _shortened(content: str, max_bytes: int | None) -> str:
    encoded = content.encode()
    if max_bytes is None or len(encoded) <= max_bytes:
        return content
    return f"{encoded[:max_bytes].decode(errors='ignore')}\n[cut after {max_bytes} bytes]"
