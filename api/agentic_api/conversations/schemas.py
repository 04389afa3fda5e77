"""Conversations as clients get them; the service and the endpoints make them."""

from datetime import datetime
from uuid import UUID

from agentic_api.runs.schemas import RunMessage, View


class ConversationMessage(RunMessage):
    """A message with its position in a conversation."""

    position: int
    """Its position, from 0."""
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
    """A conversation with an agent."""

    messages: list[ConversationMessage]
    """The messages of this page, in their order."""
    next_cursor: str | None
    """Pass it as `cursor` to get the messages that follow; null when there are none."""
