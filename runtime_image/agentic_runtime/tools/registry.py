"""Finds installed tools by entry point. The composition root calls it once."""

from importlib import metadata

from agentic_core import telemetry
from agentic_runtime.tools.base import Tool

GROUP = "agentic.tools"

log = telemetry.logger(__name__)


def installed() -> dict[str, Tool]:
    """The tools by name. A plugin that cannot be loaded is logged and left out: it must not stop the others."""
    found: dict[str, Tool] = {}
    for entry in metadata.entry_points(group=GROUP):
        try:
            tool: Tool = entry.load()
        except Exception:
            log.exception("tool cannot be loaded", tool=entry.name, source=entry.value)
            continue
        if tool.name == entry.name:
            found[entry.name] = tool
        else:
            log.error("tool's name differs from its entry point's", tool=tool.name, entry_point=entry.name)
    return found
