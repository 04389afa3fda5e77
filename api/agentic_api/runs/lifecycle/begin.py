"""The first transaction of a run: its key, its conversation, its messages, the run. The service calls it."""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from agentic_api.runs.lifecycle.capacity import RunSlot
from agentic_api.runs.schemas import Run, RunMessage, RunUsage
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import NewRun, StoredRequest
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.contract import Message, RunRequest
from agentic_core.db import Database, faults
from agentic_core.errors import Conflict, Invalid, NotFound, Unavailable

HISTORY_MESSAGES = 1000
"""Maximum of messages of a conversation that a run is given."""
HISTORY_BYTES = 8 * 1024 * 1024
"""Maximum of bytes of them: more than any model reads, and little enough for many runs at once."""
HISTORY_VALUES = 200_000
"""Maximum of JSON values in the tool calls of them."""
RETRY_SECONDS = 10.0
"""How long a run waits to begin while the database is unavailable."""


class ConversationBusy(Conflict):
    """Another run is in progress in the conversation."""

    code, title = "conversation_busy", "Conversation busy"


class ConversationOfOther(Conflict):
    """The conversation is with another agent."""

    code, title = "conversation_agent_mismatch", "Conversation of another agent"


class KeyReused(Invalid):
    """The idempotency key stands for another request."""

    code, title = "idempotency_key_reused", "Idempotency key reused"


@dataclass(frozen=True)
class RunTask:
    """A run that has begun and is to be driven."""

    new: NewRun
    run: Run
    """The run as it began."""
    messages: list[Message] = field(repr=False)
    """The conversation, the messages of the request last."""
    slot: RunSlot

    def request(self, tenant: str) -> RunRequest:
        """The request to the runtime."""
        agent = self.new.agent
        return RunRequest(
            run_id=str(self.run.id),
            tenant=tenant,
            namespace=agent.namespace,
            agent=agent.agent,
            revision=agent.revision,
            conversation_id=str(self.run.conversation_id),
            definition=agent.definition,
            messages=self.messages,
        )


async def begin(database: Database, new: NewRun, admit: Callable[[], RunSlot]) -> RunTask | UUID:
    """Store a run; or return the id of the run that was begun with its idempotency key. Of many requests with one key,
    one begins a run.

    `admit` raises when the tenant's share of the replica is in use. It is called before anything is stored, and its
    slot is kept for further attempts, so that a run whose transaction was committed unnoticed is not refused then.
    """
    admit, attempts = functools.cache(admit), itertools.count()
    begun: RunTask | UUID | None = None
    try:
        begun = await faults.retry_while_unavailable(
            lambda: _attempt(database, new, admit, again=next(attempts) > 0), seconds=RETRY_SECONDS
        )
        return begun
    finally:
        if admit.cache_info().currsize and not isinstance(begun, RunTask):
            admit().release()


async def _attempt(database: Database, new: NewRun, admit: Callable[[], RunSlot], *, again: bool) -> RunTask | UUID:
    """`again`: an earlier attempt may have been committed without our notice."""
    try:
        return (again and await _already_begun(database, new, admit)) or await _transaction(database, new, admit)
    except Exception as error:
        broken = faults.violated(error)
        if broken == "runs_idempotency":
            return await _transaction(database, new, admit)
        if broken == "runs_one_in_progress":
            raise ConversationBusy("Another run has just begun in this conversation; wait for it.") from error
        if broken == "agents_tenant_id_fkey":
            raise Unavailable("The tenant is not set up yet, or is being deleted; try again in a moment.") from error
        raise


async def _transaction(database: Database, new: NewRun, admit: Callable[[], RunSlot]) -> RunTask | UUID:
    if not new.idempotency_key:
        admit()  # before any query: a refusal costs nothing
    async with database.transaction(new.tenant_id) as transaction:
        journal = Journal(transaction)
        if new.idempotency_key and (stored := await journal.stored_request(new.idempotency_key)):
            return _same(stored, new).run_id
        slot = admit()
        history = await _history(journal, new)
        created_at = await journal.begin(new)
        if created_at is None:
            raise conversation_not_found(new.conversation_id)
    return RunTask(new, _run(new, created_at), [*history, *new.added], slot)


async def _already_begun(database: Database, new: NewRun, admit: Callable[[], RunSlot]) -> RunTask | None:
    async with database.session(new.tenant_id) as session:
        run = await RunRepository(session).get(new.id)
    if run is None:
        return None
    async with database.transaction(new.tenant_id) as transaction:
        history = await _messages(Journal(transaction), run.conversation_id)
    return RunTask(new, run, history, admit())


def _same(stored: StoredRequest, new: NewRun) -> StoredRequest:
    if stored.fingerprint != new.fingerprint:
        raise KeyReused(
            "This Idempotency-Key was used for another request; send a new key with a new request.",
            run_id=str(stored.run_id),
        )
    return stored


async def _history(journal: Journal, new: NewRun) -> list[Message]:
    if new.continues is None:
        return []
    agent_id = await journal.lock_conversation(new.continues)
    if agent_id is None:
        raise conversation_not_found(new.continues)
    if agent_id != new.agent_id:
        raise ConversationOfOther("This conversation is with another agent; begin a new one without conversation_id.")
    current = await journal.in_progress_in(new.continues)
    if current is not None:
        raise ConversationBusy(f"Run {current} is in progress in this conversation; wait for it.", run_id=str(current))
    return await _messages(journal, new.continues)


async def _messages(journal: Journal, conversation_id: UUID) -> list[Message]:
    """What a run is given of a conversation."""
    found = await journal.history(
        conversation_id, max_messages=HISTORY_MESSAGES, max_bytes=HISTORY_BYTES, max_values=HISTORY_VALUES
    )
    return from_user(found)


def from_user(messages: list[Message]) -> list[Message]:
    """The messages from the first of a user on: no model accepts a history that begins with an assistant's."""
    start = next((at for at, message in enumerate(messages) if message.role == "user"), len(messages))
    return messages[start:]


def _run(new: NewRun, created_at: datetime) -> Run:
    return Run(
        id=new.id,
        status=new.status,
        agent=f"{new.agent.namespace}.{new.agent.agent}",
        revision=new.agent.revision,
        conversation_id=new.conversation_id,
        parent_run_id=new.parent_run_id,
        output="",
        usage=RunUsage(),
        cost=Decimal(0),
        trace_id=new.trace_id,
        error=None,
        metadata=new.metadata,
        created_at=created_at,
        finished_at=None,
        messages=[RunMessage(role=item.role, content=item.content) for item in new.added],
        tool_calls=[],
    )


def conversation_not_found(conversation_id: UUID) -> NotFound:
    """The same error for conversations that do not exist and for those of other tenants."""
    return NotFound(f"Conversation {conversation_id} not found. List yours with GET /api/v1/conversations.")
