"""The tools that are installed: plugins of the entry point group `agentic.tools`."""
