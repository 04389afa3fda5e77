"""How a definition is kept in an AgentRevision: whole, or with its prompt in a PromptVersion that others share.

The operator writes revisions with it, the api reads them with it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from agentic_core.contract import read_definition
from agentic_core.resolve import stored
from agentic_crds.agent_revision import Definition

MAX_PROMPT_IN_REVISION = 8192
"""Bytes of UTF-8 up to which a prompt is kept in the revision itself."""


def has_separate_prompt(definition: Definition) -> bool:
    """Whether a new revision of this definition refers to its prompt."""
    return len(definition.system_prompt.encode()) > MAX_PROMPT_IN_REVISION


def content(definition: Definition, *, separate: bool) -> dict[str, Any]:
    """The members of a revision's spec that make up its definition."""
    body = stored(definition)
    if not separate:
        return {"definition": body}
    del body["systemPrompt"]
    return {"definitionWithoutPrompt": body, "promptSha256": prompt_sha256(definition.system_prompt)}


def prompt_sha256(text: str) -> str:
    """The hash of a prompt, by which it is found."""
    return hashlib.sha256(text.encode()).hexdigest()


def read(spec: Mapping[str, Any], prompt: str | None) -> Definition:
    """The definition of a revision, which another version of the operator may have written, with the prompt that it
    refers to. Raises pydantic's `ValidationError`."""
    if prompt is None:
        return read_definition(spec.get("definition"))
    return read_definition({**(spec.get("definitionWithoutPrompt") or {}), "systemPrompt": prompt})
