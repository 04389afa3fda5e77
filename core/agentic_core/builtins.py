"""The tools of the platform's runtime image as declarations: what models are shown, and how calls are bounded.

Resolution writes them into definitions; the runtime implements them. Schemas are plain JSON, not made from models: they
are part of each definition's hash, which must not change with a library. Tools of other images are not declared here:
their runtime fills in what it shows of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentic_crds.agent_revision import ToolPolicy

BUILTIN = "builtin"
"""The kind of tools that the runtime implements itself."""
DEFAULT_POLICY = ToolPolicy(max_result_bytes=400_000)
"""How calls of a tool are bounded of which nothing else is said; the run's own limits hold as well."""


@dataclass(frozen=True)
class Builtin:
    """A tool of the platform's runtime image."""

    name: str
    description: str
    """What it does, for the model."""
    input_schema: Mapping[str, Any]
    """JSON Schema of its arguments."""
    policy: ToolPolicy = field(default=DEFAULT_POLICY)


def _arguments(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of arguments that are all required."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


CALCULATOR = Builtin(
    name="calculator",
    description="Computes an arithmetic expression exactly. Operators: + - * / // % **. Functions: abs, ceil, cos, exp,"
    " floor, log, log10, log2, max, min, sin, sqrt, tan, round. Constants: pi, e, tau.",
    input_schema=_arguments(
        expression={
            "type": "string",
            "minLength": 1,
            "maxLength": 1000,
            "description": "Arithmetic such as (2 + 3) * 4 ** 2 / sqrt(16).",
        }
    ),
)
HTTP_FETCH = Builtin(
    name="http_fetch",
    description="Fetches a public http(s) URL with GET and returns the text of the answer.",
    input_schema=_arguments(
        url={"type": "string", "minLength": 1, "maxLength": 2048, "description": "Public http or https URL."}
    ),
    policy=ToolPolicy(timeout_seconds=20, max_result_bytes=400_000),
)
BUILTINS: Mapping[str, Builtin] = {tool.name: tool for tool in (CALCULATOR, HTTP_FETCH)}
"""All of them by name."""
