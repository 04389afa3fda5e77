"""The endpoints of conversations."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from agentic_api.conversations.schemas import Conversation, ConversationSummary
from agentic_api.web.auth import Developer, Viewer
from agentic_api.web.context import Ctx
from agentic_api.web.pagination import Page, PageParams, cursor, page_id, page_position
from agentic_api.web.routing import router as make_router

router = make_router("/api/v1/conversations", tag="conversations")


@router.get("")
async def list_conversations(
    principal: Viewer,
    context: Ctx,
    page: PageParams,
    agent: Annotated[str | None, Query(max_length=253, description="Conversations of this agent only.")] = None,
) -> Page[ConversationSummary]:
    """Your tenant's conversations, the newest first."""
    items = await context.conversations.page(
        principal, limit=page.limit + 1, before=page_id(page.after), agent_id=agent
    )
    more = len(items) > page.limit
    items = items[: page.limit]
    return Page(items=items, next_cursor=cursor(str(items[-1].id)) if more else None)


@router.get("/{conversation_id}")
async def get_conversation(conversation_id: UUID, principal: Viewer, context: Ctx, page: PageParams) -> Conversation:
    """A conversation and its messages, the oldest first; `limit` and `cursor` page through the messages.

    A page of long messages has fewer than `limit`.
    """
    found, messages = await context.conversations.get(
        principal, conversation_id, after=page_position(page.after), limit=page.limit
    )
    following = cursor(str(messages.items[-1].position)) if messages.more else None
    return Conversation(**found.model_dump(), messages=messages.items, next_cursor=following)


@router.delete("/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: UUID, principal: Developer, context: Ctx) -> None:
    """Remove a conversation with its messages, runs and events. Its usage stays in the ledger."""
    await context.conversations.delete(principal, conversation_id)
