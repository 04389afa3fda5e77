"""The first transaction of a run: its key, its conversation, what was said, the run. The service calls it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid5

from agentic_api.catalog.resolved import ResolvedAgent
from agentic_api.runs.lifecycle.capacity import Place
from agentic_api.runs.schemas import Execute, Run, RunMessage, RunUsage, Status
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import KnownRequest, NewRun
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.contract import Message, RunRequest
from agentic_core.db import Database, faults, uuid7
from agentic_core.errors import Conflict, Invalid, NotFound, Unavailable

HISTORY_MESSAGES = 1000
"""Most messages of a conversation that a run is given."""
HISTORY_BYTES = 8 * 1024 * 1024
"""Most bytes of them: more than any model reads, and little enough for many runs at once."""


class ConversationBusy(Conflict):
    """Another run goes on in the conversation."""

    code, title = "conversation_busy", "Conversation busy"


class ConversationOfOther(Conflict):
    """The conversation is with another agent."""

    code, title = "conversation_agent_mismatch", "Conversation of another agent"


class KeyReused(Invalid):
    """The idempotency key stands for another request."""

    code, title = "idempotency_key_reused", "Idempotency key reused"


@dataclass(frozen=True, kw_only=True)
class Begin:
    """A run that is wanted."""

    tenant_id: UUID
    agent: ResolvedAgent
    body: Execute = field(repr=False)
    idempotency_key: str | None
    fingerprint: bytes | None
    trace_id: str
    replica: UUID
    lease_seconds: float
    enter: Callable[[], Place]
    """Finds room for the run, or refuses it."""
    run_id: UUID = field(default_factory=uuid7)
    """Chosen before the first attempt, so that a repeated one is recognised."""


@dataclass(frozen=True)
class Fresh:
    """A run that has begun and is to be driven."""

    run: Run
    agent: ResolvedAgent
    messages: list[Message] = field(repr=False)
    place: Place

    def request(self, tenant: str) -> RunRequest:
        """What the runtime is asked."""
        return RunRequest(
            run_id=str(self.run.id),
            tenant=tenant,
            namespace=self.agent.namespace,
            agent=self.agent.agent,
            revision=self.agent.revision,
            conversation_id=str(self.run.conversation_id),
            definition=self.agent.definition,
            messages=self.messages,
        )


@dataclass(frozen=True)
class Begun:
    """The run of a request; `fresh` when this request began it."""

    run_id: UUID
    fresh: Fresh | None = None


async def begin(database: Database, wanted: Begin, *, again: bool) -> Begun:
    """Begin the run, or find the one of its key. Of many requests with one key, one begins a run.

    `again` says that an earlier attempt may have been committed without our hearing of it.
    """
    try:
        return (again and await _begun_before(database, wanted)) or await _transaction(database, wanted)
    except Exception as error:
        broken = faults.violated(error)
        if broken == "runs_idempotency":
            return await _transaction(database, wanted)
        if broken == "runs_one_running":
            raise ConversationBusy("Another run has just begun in this conversation; wait for it.") from error
        if broken == "agents_tenant_id_fkey":
            raise Unavailable("The tenant is not set up yet, or is being deleted; try again in a moment.") from error
        raise


async def _transaction(database: Database, wanted: Begin) -> Begun:
    place = None if wanted.idempotency_key else wanted.enter()  # before any query: a refusal shall cost nothing
    try:
        async with database.transaction(wanted.tenant_id) as transaction:
            journal = Journal(transaction)
            if wanted.idempotency_key:
                known = await journal.known_request(wanted.idempotency_key)
                if known is not None:
                    return Begun(_same(known, wanted).run_id)
            place = place or wanted.enter()
            fresh = await _fresh(journal, wanted, place)
    except BaseException:
        if place is not None:
            place.abandon()
        raise
    return Begun(fresh.run.id, fresh)


async def _fresh(journal: Journal, wanted: Begin, place: Place) -> Fresh:
    history = await _history(journal, wanted)
    new = _new_run(wanted)
    created_at = await journal.begin(new)
    if created_at is None:
        raise unknown_conversation(new.conversation_id)
    return Fresh(_run(new, created_at), wanted.agent, [*history, *new.said], place)


async def _begun_before(database: Database, wanted: Begin) -> Begun | None:
    async with database.session(wanted.tenant_id) as session:
        run = await RunRepository(session).get(wanted.run_id)
    if run is None:
        return None
    async with database.transaction(wanted.tenant_id) as transaction:
        history = await Journal(transaction).history(
            run.conversation_id, most=HISTORY_MESSAGES, most_bytes=HISTORY_BYTES
        )
    return Begun(run.id, Fresh(run, wanted.agent, from_user(history), wanted.enter()))


def _same(known: KnownRequest, wanted: Begin) -> KnownRequest:
    if known.fingerprint != wanted.fingerprint:
        raise KeyReused(
            "This Idempotency-Key was used for another request; send a new key with a new request.",
            run_id=str(known.run_id),
        )
    return known


async def _history(journal: Journal, wanted: Begin) -> list[Message]:
    conversation_id = wanted.body.conversation_id
    if conversation_id is None:
        return []
    conversation = await journal.lock_conversation(conversation_id)
    if conversation is None:
        raise unknown_conversation(conversation_id)
    if conversation.agent_id != _agent_id(wanted):
        raise ConversationOfOther("This conversation is with another agent; begin a new one without conversation_id.")
    running = await journal.running_in(conversation_id)
    if running is not None:
        raise ConversationBusy(f"Run {running} goes on in this conversation; wait for it.", run_id=str(running))
    return from_user(await journal.history(conversation_id, most=HISTORY_MESSAGES, most_bytes=HISTORY_BYTES))


def from_user(messages: list[Message]) -> list[Message]:
    """The messages from the first of a user on: no model accepts a history that begins with an answer."""
    start = next((at for at, message in enumerate(messages) if message.role == "user"), len(messages))
    return messages[start:]


def _agent_id(wanted: Begin) -> UUID:
    """The id of the agent's row: a function of its name, so that no query is needed to know it."""
    return uuid5(wanted.tenant_id, f"{wanted.agent.namespace}/{wanted.agent.agent}")


def _new_run(wanted: Begin) -> NewRun:
    return NewRun(
        id=wanted.run_id,
        conversation_id=wanted.body.conversation_id or uuid7(),
        continues=wanted.body.conversation_id is not None,
        agent_id=_agent_id(wanted),
        namespace=wanted.agent.namespace,
        agent=wanted.agent.agent,
        revision=wanted.agent.revision,
        said=wanted.body.said(),
        metadata=wanted.body.metadata,
        trace_id=wanted.trace_id,
        replica=wanted.replica,
        lease_seconds=wanted.lease_seconds,
        idempotency_key=wanted.idempotency_key,
        fingerprint=wanted.fingerprint,
    )


def _run(new: NewRun, created_at: datetime) -> Run:
    return Run(
        id=new.id,
        status=Status.RUNNING,
        agent=f"{new.namespace}.{new.agent}",
        revision=new.revision,
        conversation_id=new.conversation_id,
        output="",
        usage=RunUsage(),
        cost=Decimal(0),
        trace_id=new.trace_id,
        error=None,
        metadata=new.metadata,
        created_at=created_at,
        finished_at=None,
        messages=[RunMessage(role=item.role, content=item.content) for item in new.said],
        tool_calls=[],
    )


def unknown_conversation(conversation_id: UUID) -> NotFound:
    """The one answer for conversations that do not exist and for those of others."""
    return NotFound(f"There is no conversation {conversation_id}. List yours with GET /api/v1/conversations.")
