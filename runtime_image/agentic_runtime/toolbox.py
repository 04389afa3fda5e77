"""The tools of one agent: offers them to the model and runs its calls. The middleware holds one; it knows no LangChain.

Whatever a model asks for and whatever a tool does, the outcome is a text for the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agentic_core import telemetry
from agentic_core.contract import ToolCall
from agentic_runtime.answer import clean
from agentic_runtime.tools.base import Tool, ToolContext, ToolFailed

MAX_RESULT_CHARS = 400_000
"""Longest tool result that is put in front of a model."""

log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Result:
    """What the model is told."""

    content: str
    is_error: bool = False


class Toolbox:
    """Tools by name."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = dict(tools)

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def schemas(self) -> list[dict[str, Any]]:
        """The tools as OpenAI describes functions; LangChain turns that into what each provider wants."""
        return [
            {"name": tool.name, "description": tool.description, "parameters": tool.input.model_json_schema()}
            for tool in self._tools.values()
        ]

    async def run(self, call: ToolCall, context: ToolContext) -> Result:
        """Run a call if there is such a tool and the arguments fit its schema."""
        tool = self._tools.get(call.name)
        if tool is None:
            available = ", ".join(self._tools) or "none"
            return Result(f"There is no such tool. Available: {available}.", is_error=True)
        try:
            arguments = tool.input.model_validate(call.arguments)
        except ValidationError as error:
            return Result(_mistakes(error), is_error=True)
        try:
            return Result(_shortened(clean(await tool(arguments, context))))
        except ToolFailed as error:
            return Result(clean(error.message), is_error=True)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises must not end the run
            log.warning("tool failed", tool=call.name, error=type(error).__name__)
            return Result(f"The tool failed: {type(error).__name__}.", is_error=True)


def _mistakes(error: ValidationError) -> str:
    listed = "; ".join(
        f"{'.'.join(map(str, mistake['loc'])) or 'arguments'}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)
    )
    return clean(f"The arguments break the tool's schema: {listed}. Call the tool again with correct arguments.")


def _shortened(content: str) -> str:
    if len(content) <= MAX_RESULT_CHARS:
        return content
    return f"{content[:MAX_RESULT_CHARS]}\n[cut after {MAX_RESULT_CHARS} characters]"
