"""The rows of conversations and their messages; the service uses it."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from agentic_api.conversations.schemas import ConversationMessage, ConversationSummary
from agentic_api.runs.storage import stored_json
from agentic_api.runs.storage.repository import message
from agentic_core.db import Repository, pages, tables
from agentic_core.db.pages import BoundedPage

agents, conversations, messages, runs = tables.agents, tables.conversations, tables.messages, tables.runs


class ConversationRepository(Repository):
    """Conversations of a tenant."""

    async def get(self, conversation_id: UUID) -> ConversationSummary | None:
        """A conversation without its messages."""
        query = self._summaries().where(conversations.c.id == conversation_id)
        row = (await self.session.execute(query)).one_or_none()
        return _summary(row) if row else None

    async def messages(self, conversation_id: UUID, *, after: int, limit: int) -> BoundedPage[ConversationMessage]:
        """Messages that follow position `after`."""
        in_it = messages.c.conversation_id == conversation_id
        query = (
            self.select(messages, messages.c.position.label("key"), messages.c.size)
            .where(in_it, messages.c.position > after)
            .order_by(messages.c.position)
        )
        keys = pages.page_keys(query, limit=limit)
        found = (
            self.select(messages, *pages.json_as_text(messages), keys.c.candidates)
            .join(keys, keys.c.key == messages.c.position)
            .where(in_it)
            .order_by(keys.c.position)
        )
        rows = list(await self.session.execute(found))
        fitting = stored_json.first(rows, lambda row: str(row.tool_calls), at_least=1)
        items = [_message(row) for row in fitting]
        return pages.page(items, candidates=rows[0].candidates if rows else 0)

    async def page(
        self, *, limit: int, before: UUID | None, namespace: str | None, agent: str | None
    ) -> list[ConversationSummary]:
        """The newest conversations before `before`."""
        query = self._summaries().order_by(conversations.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(conversations.c.id < before)
        if namespace is not None and agent is not None:
            query = query.where(conversations.c.agent_id == self.agent_id(namespace, agent))
        return [_summary(row) for row in await self.session.execute(query)]

    async def lock(self, conversation_id: UUID) -> bool:
        """Keep others from continuing the conversation until the transaction ends; False when it is not found."""
        query = self.select(conversations, conversations.c.id).where(conversations.c.id == conversation_id)
        return (await self.session.execute(query.with_for_update())).one_or_none() is not None

    async def in_progress(self, conversation_id: UUID) -> UUID | None:
        """The run that is in progress in the conversation."""
        query = self.select(runs, runs.c.id).where(
            runs.c.conversation_id == conversation_id, runs.c.finished_at.is_(None)
        )
        found: UUID | None = (await self.session.execute(query)).scalar()
        return found

    async def delete(self, conversation_id: UUID) -> None:
        """Remove a conversation with its messages, runs and their events. Its usage stays."""
        condition = (conversations.c.tenant_id == self.tenant_id) & (conversations.c.id == conversation_id)
        await self.session.execute(sa.delete(conversations).where(condition))

    def _summaries(self) -> sa.Select[Any]:
        joined = conversations.join(
            agents, (agents.c.tenant_id == conversations.c.tenant_id) & (agents.c.id == conversations.c.agent_id)
        )
        named = (*conversations.c, agents.c.namespace, agents.c.name)
        return self.select(conversations, *named).select_from(joined)


def _message(row: sa.Row[Any]) -> ConversationMessage:
    return ConversationMessage(
        **vars(message(row)), position=row.position, run_id=row.run_id, created_at=row.created_at
    )


def _summary(row: sa.Row[Any]) -> ConversationSummary:
    return ConversationSummary(
        id=row.id,
        agent=f"{row.namespace}.{row.name}",
        message_count=row.message_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
