"""What can be done with conversations: read, list, delete. The endpoints call it with the caller's principal."""

from dataclasses import dataclass
from uuid import UUID

from agentic_api.catalog.catalog import Catalog
from agentic_api.conversations.repository import ConversationRepository
from agentic_api.conversations.schemas import ConversationMessage, ConversationSummary
from agentic_api.identity.principal import Principal
from agentic_api.runs.lifecycle.begin import ConversationBusy, conversation_not_found
from agentic_core.db import Database
from agentic_core.db.audit import AuditRepository
from agentic_core.db.pages import BoundedPage
from agentic_crds import Agent


@dataclass(frozen=True)
class ConversationService:
    """Conversations of all tenants; each method acts inside the principal's."""

    database: Database
    catalog: Catalog

    async def get(
        self, principal: Principal, conversation_id: UUID, *, after: int, limit: int
    ) -> tuple[ConversationSummary, BoundedPage[ConversationMessage]]:
        """A conversation, and a page of the messages that follow position `after`."""
        async with self.database.reading(principal.tenant_id) as session:
            repository = ConversationRepository(session)
            found = await repository.get(conversation_id)
            if found is None:
                raise conversation_not_found(conversation_id)
            return found, await repository.messages(conversation_id, after=after, limit=limit)

    async def page(
        self, principal: Principal, *, limit: int, before: UUID | None, agent_id: str | None
    ) -> list[ConversationSummary]:
        """The caller's newest conversations."""
        key = self.catalog.locate(Agent, principal, agent_id) if agent_id else None
        async with self.database.reading(principal.tenant_id) as session:
            return await ConversationRepository(session).page(
                limit=limit,
                before=before,
                namespace=key.namespace if key else None,
                agent=key.name if key else None,
            )

    async def delete(self, principal: Principal, conversation_id: UUID) -> None:
        """Remove a conversation in which no run is in progress."""
        async with self.database.session(principal.tenant_id) as session:
            repository = ConversationRepository(session)
            if not await repository.lock(conversation_id):
                raise conversation_not_found(conversation_id)
            current = await repository.in_progress(conversation_id)
            if current is not None:
                raise ConversationBusy(
                    f"Run {current} is in progress in this conversation; cancel it.", run_id=str(current)
                )
            await repository.delete(conversation_id)
            await AuditRepository(session).record(
                actor=principal.subject, action="conversation.delete", target=str(conversation_id)
            )
