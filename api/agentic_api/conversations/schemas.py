"""What clients see of conversations."""

from datetime import datetime
from uuid import UUID

from agentic_api.runs.schemas import RunMessage, View


class ConversationMessage(RunMessage):
    """A message at its place in a conversation."""

    position: int
    """Its place, from 0."""
    run_id: UUID
    """The run that added it."""
    created_at: datetime


class ConversationSummary(View):
    """A conversation in a list."""

    id: UUID
    agent: str
    """The agent as `namespace.name`."""
    message_count: int
    """How many messages it has."""
    created_at: datetime
    updated_at: datetime


class Conversation(ConversationSummary):
    """What was said to an agent and by it."""

    messages: list[ConversationMessage]
    """The messages of this page, in their order."""
    next_cursor: str | None
    """Pass it as `cursor` to get the messages that follow; null when there are none."""
