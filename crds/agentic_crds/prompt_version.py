"""The kind PromptVersion: the text of a long prompt, stored once however many revisions of a namespace have it.

The operator writes it for the AgentRevisions that refer to it; the api reads it when a run needs it.
"""

from typing import Annotated

from pydantic import Field

from agentic_crds.agent_revision import MAX_PROMPT
from agentic_crds.base import AGE, Column, Model, Resource, Sha256
from agentic_crds.schema import CEL

NAME_PREFIX = "prompt-"
NAME_DIGITS = 40
"""Digits of the hash in the name: it is the value of a label of revisions, which has at most 63 characters."""


class PromptVersionSpec(Model):
    """A prompt."""

    sha256: Sha256
    """SHA-256 of the text in UTF-8. Readers compare it and do not use a text that has another one."""
    text: Annotated[str, Field(max_length=MAX_PROMPT)]
    """The instructions of agents."""


class PromptVersion(Resource):
    """An immutable prompt that AgentRevisions refer to, named by its hash. Written by the platform only."""

    kind_name = "PromptVersion"
    plural = "promptversions"
    short_names = ("prv",)
    columns = (Column(name="SHA256", json_path=".spec.sha256"), AGE)
    rules = (
        CEL(
            f"self.metadata.name == '{NAME_PREFIX}' + self.spec.sha256.substring(0, {NAME_DIGITS})",
            "a prompt version is named by its hash",
            lambda prompt: prompt.metadata.name == name_of(prompt.spec.sha256),
        ),
    )

    spec: Annotated[PromptVersionSpec, CEL("self == oldSelf", "a prompt version is immutable")]


def name_of(sha256: str) -> str:
    """The name of the prompt with this hash."""
    return f"{NAME_PREFIX}{sha256[:NAME_DIGITS]}"
