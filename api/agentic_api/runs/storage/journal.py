"""How runs begin, are recorded and closed, one statement each; the service, the driver and the sweeper write so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from agentic_api.runs.schemas import RunUsage, Status
from agentic_api.runs.storage import statements
from agentic_api.runs.storage.records import (
    BATCH_BYTES,
    Closed,
    Closing,
    ConversationState,
    KnownRequest,
    NewRun,
    RunState,
    StoredEvent,
)
from agentic_core.contract import Message, ToolCall
from agentic_core.db import Transaction

TOOL_CALLS = TypeAdapter(list[ToolCall])
ARGUMENTS = TypeAdapter(dict[str, Any])


class Journal:
    """The rows of runs in progress, inside one tenant's transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def begin(self, new: NewRun) -> datetime | None:
        """Store a new run and what was said; None when the conversation it continues is not this agent's."""
        row = await self._transaction.fetch_one(
            statements.BEGIN_CONTINUED if new.continues else statements.BEGIN_NEW,
            new.id,
            new.conversation_id,
            new.agent_id,
            new.namespace,
            new.agent,
            new.revision,
            orjson.dumps(new.metadata).decode(),
            new.trace_id,
            new.replica,
            new.lease_seconds,
            new.idempotency_key,
            new.fingerprint,
            [message.role for message in new.said],
            [message.content for message in new.said],
        )
        return row["created_at"] if row else None

    async def known_request(self, idempotency_key: str) -> KnownRequest | None:
        """The run that was begun with this key."""
        row = await self._transaction.fetch_one(statements.BY_KEY, idempotency_key)
        return KnownRequest(row["id"], row["fingerprint"]) if row else None

    async def lock_conversation(self, conversation_id: UUID) -> ConversationState | None:
        """The conversation, which nobody else can continue until the transaction ends."""
        row = await self._transaction.fetch_one(statements.LOCK_CONVERSATION, conversation_id)
        return ConversationState(row["agent_id"]) if row else None

    async def running_in(self, conversation_id: UUID) -> UUID | None:
        """The run that is going on in a conversation."""
        row = await self._transaction.fetch_one(statements.RUNNING_IN, conversation_id)
        return row["id"] if row else None

    async def history(self, conversation_id: UUID, *, most: int, most_bytes: int) -> list[Message]:
        """The last messages of a conversation, in their order, as far as they fit."""
        rows = await self._transaction.fetch(statements.HISTORY, conversation_id, most, most_bytes)
        return [
            Message(
                role=row["role"],
                content=row["content"],
                tool_calls=TOOL_CALLS.validate_json(row["tool_calls"]),
                tool_call_id=row["tool_call_id"],
                is_error=row["is_error"],
            )
            for row in reversed(rows)
        ]

    async def record(self, run_id: UUID, replica: UUID, events: Sequence[StoredEvent]) -> bool:
        """Store events of a run in progress; False when the replica no longer holds it, and nothing was stored."""
        row = await self._transaction.fetch_one(statements.RECORD, run_id, replica, *_event_columns(events))
        return bool(row and row["held"])

    async def lock_expired(self, run_id: UUID) -> UUID | None:
        """The replica that let the lease of this run expire; None when another closes it or it goes on."""
        row = await self._transaction.fetch_one(statements.LOCK_EXPIRED, run_id)
        return row["replica"] if row else None

    async def close(self, run_id: UUID, closing: Closing, *, holder: UUID, closer: UUID) -> Closed | None:
        """End a run that `holder` drives; None when it is not running or not held by it, and nothing was written."""
        row = await self._transaction.fetch_one(
            statements.CLOSE,
            run_id,
            holder,
            closer,
            closing.status.value,
            closing.output,
            closing.error.code if closing.error else None,
            closing.error.message if closing.error else None,
            closing.last_seq,
            *_event_columns(closing.events),
            *_message_columns(closing.messages),
            [tool.id for tool in closing.tools],
            [tool.name for tool in closing.tools],
            [ARGUMENTS.dump_json(tool.arguments).decode() for tool in closing.tools],
            [tool.result for tool in closing.tools],
            [tool.is_error for tool in closing.tools],
            [tool.duration_ms for tool in closing.tools],
        )
        return _closed(row) if row else None

    async def closed_by(self, run_id: UUID, replica: UUID) -> Closed | None:
        """The end of a run if this replica has closed it."""
        row = await self._transaction.fetch_one(statements.CLOSED_BY, run_id, replica)
        return _closed(row) if row else None

    async def state(self, run_id: UUID) -> RunState | None:
        """Where a run is."""
        row = await self._transaction.fetch_one(statements.STATE, run_id)
        return RunState(Status(row["status"]), row["last_seq"]) if row else None

    async def events(self, run_id: UUID, *, after: int, most: int) -> list[StoredEvent]:
        """Stored events that follow number `after`: so many of them, or the first that come to some bytes."""
        rows = await self._transaction.fetch(statements.EVENTS, run_id, after, most, BATCH_BYTES)
        return [StoredEvent(row["seq"], row["type"], row["payload"]) for row in rows]


def _event_columns(events: Sequence[StoredEvent]) -> tuple[list[int], list[str], list[str]]:
    return [e.seq for e in events], [e.type for e in events], [e.payload for e in events]


def _message_columns(messages: Sequence[Message]) -> tuple[list[Any], ...]:
    return (
        [message.role for message in messages],
        [message.content for message in messages],
        [TOOL_CALLS.dump_json(message.tool_calls).decode() for message in messages],
        [message.tool_call_id for message in messages],
        [message.is_error for message in messages],
    )


def _closed(row: Any) -> Closed:
    usage = RunUsage(input_tokens=row["input_tokens"], output_tokens=row["output_tokens"])
    return Closed(row["finished_at"], usage, row["cost"])
