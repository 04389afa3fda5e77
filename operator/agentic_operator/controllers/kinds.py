"""Kinds and controllers that several controllers name; the pure decisions among them use it too."""

from agentic_core.cluster.kinds import custom
from agentic_crds import AgentRevision, PromptVersion

REVISION, PROMPT = custom(AgentRevision), custom(PromptVersion)
PROMPT_CONTROLLER = "prompt-versions"
"""Name of the controller that deletes prompts."""
