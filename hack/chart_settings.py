"""Writes the programs' settings into the values schema of the chart, so that Helm refuses what no program reads.

`chart_settings.py FILE`, run by `make generate`. Values under `api.settings`, `gateway.settings` and
`operator.settings` become environment variables; those that the chart sets by itself are left out.
"""

import json
import sys
from pathlib import Path
from typing import Any

from agentic_api.settings import ApiSettings
from agentic_core.settings import Settings
from agentic_gateway.settings import GatewaySettings
from agentic_operator.settings import OperatorSettings

PROGRAMS: dict[str, type[Settings]] = {"api": ApiSettings, "gateway": GatewaySettings, "operator": OperatorSettings}
OURS: dict[str, frozenset[str]] = {
    "api": frozenset(
        {"cors_origins", "database_url", "pepper_file", "run_token_key_file", "runtimes_anywhere", "shutdown_timeout"}
    ),
    "gateway": frozenset(
        {
            *("database_url", "drain_seconds", "loopback_providers", "namespace", "private_providers"),
            "run_token_public_key_file",
        }
    ),
    "operator": frozenset({"namespace", "private_providers", "run_token_keys", "runtime_image", "tools"}),
}
"""Set by the chart from its own values, or not for clusters."""
NOWHERE = frozenset(
    {"host", "identity", "kubeconfig", "log_level", "metrics_port", "otlp_endpoint", "port", "resources"}
)
"""Set by the chart for all programs, or of no use in a pod."""
KEPT = frozenset({"type", "description", "items", "enum", "minimum", "maximum", "exclusiveMinimum"})


def properties(program: str) -> dict[str, Any]:
    """The schema of each setting of a program that a user of the chart may change."""
    fields: dict[str, Any] = PROGRAMS[program].model_json_schema()["properties"]
    return {
        name: {key: value for key, value in field.items() if key in KEPT}
        for name, field in fields.items()
        if name not in OURS[program] | NOWHERE
    }


def written(schema: dict[str, Any]) -> dict[str, Any]:
    """The values schema with today's settings."""
    for program in PROGRAMS:
        schema["properties"][program]["properties"]["settings"] = {
            "type": "object",
            "description": "Further settings of the program, by the name of the environment variable without AGENTIC_.",
            "additionalProperties": False,
            "properties": properties(program),
        }
    return schema


def text(node: Any, indent: str = "") -> str:
    """JSON with every object that is short enough on one line."""
    line = json.dumps(node, ensure_ascii=False)
    if not isinstance(node, dict) or len(indent) + len(line) < 110:
        return line
    inner = indent + "  "
    members = [f"{inner}{json.dumps(key)}: {text(value, inner)}" for key, value in node.items()]
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def main() -> None:
    file = Path(sys.argv[1])
    file.write_text(text(written(json.loads(file.read_text()))) + "\n")


if __name__ == "__main__":
    main()
