"""JSON of agents in rows: read as text, and made into objects within bounds, however much of it a runtime has stored.

The journal and the repositories of runs and conversations read tool calls and their arguments with it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from agentic_core import bounded_json
from agentic_core.contract import ToolCall

PAGE_VALUES: Final = 50_000
"""JSON values of the rows that are read at once: some megabytes of objects."""
_TOOL_CALLS: Final = TypeAdapter(list[ToolCall])
_ARGUMENTS: Final = TypeAdapter(dict[str, Any])

Row = TypeVar("Row")


def first(
    rows: Sequence[Row], text: Callable[[Row], str], *, max_values: int = PAGE_VALUES, at_least: int = 0
) -> Sequence[Row]:
    """The first rows whose texts have at most so many JSON values together; `at_least` so many, whatever they have."""
    total = 0
    for number, row in enumerate(rows):
        total += bounded_json.count(text(row).encode())
        if total > max_values and number >= at_least:
            return rows[:number]
    return rows


def tool_calls(text: str) -> list[ToolCall]:
    """The tool calls of a message."""
    return _TOOL_CALLS.validate_json(text)


def arguments(text: str) -> dict[str, Any]:
    """The arguments of a tool call."""
    return _ARGUMENTS.validate_json(text)
