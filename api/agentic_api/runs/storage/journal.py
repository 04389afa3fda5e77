"""How runs begin, are recorded and closed, one statement each; the service, the driver and the sweeper write so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from agentic_api.runs.schemas import RunUsage
from agentic_api.runs.states import RULES, RunStatus, preceding
from agentic_api.runs.storage import statements, stored_json
from agentic_api.runs.storage.records import (
    BATCH_BYTES,
    BATCH_EVENTS,
    Closing,
    NewRun,
    RunEnd,
    RunProgress,
    StoredEvent,
    StoredRequest,
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
        """Store a new run and its messages; None when the conversation it continues is not this agent's."""
        row = await self._transaction.fetch_one(
            statements.BEGIN_CONTINUED if new.continues else statements.BEGIN_NEW,
            new.id,
            new.conversation_id,
            new.agent_id,
            new.agent.namespace,
            new.agent.agent,
            new.agent.revision,
            orjson.dumps(new.metadata).decode(),
            new.trace_id,
            new.replica,
            new.lease_seconds if RULES[new.status].leased else None,
            new.idempotency_key,
            new.fingerprint,
            [message.role for message in new.added],
            [message.content for message in new.added],
            new.status.value,
            new.parent_run_id,
        )
        return row["created_at"] if row else None

    async def stored_request(self, idempotency_key: str) -> StoredRequest | None:
        """The run that began with this key."""
        row = await self._transaction.fetch_one(statements.BY_KEY, idempotency_key)
        return StoredRequest(row["id"], row["fingerprint"]) if row else None

    async def lock_conversation(self, conversation_id: UUID) -> UUID | None:
        """The agent's id of a conversation that no other run can continue until the transaction ends."""
        row = await self._transaction.fetch_one(statements.LOCK_CONVERSATION, conversation_id)
        return row["agent_id"] if row else None

    async def in_progress_in(self, conversation_id: UUID) -> UUID | None:
        """The run that is in progress in a conversation."""
        row = await self._transaction.fetch_one(statements.IN_PROGRESS_IN, conversation_id)
        return row["id"] if row else None

    async def history(
        self, conversation_id: UUID, *, max_messages: int, max_bytes: int, max_values: int
    ) -> list[Message]:
        """The last messages of a conversation, in their order, as far as they and the values of their calls fit."""
        rows = await self._transaction.fetch(statements.HISTORY, conversation_id, max_messages, max_bytes)
        fitting = stored_json.first(rows, lambda row: row["tool_calls"], max_values=max_values)
        return [
            Message(
                role=row["role"],
                content=row["content"],
                tool_calls=stored_json.tool_calls(row["tool_calls"]),
                tool_call_id=row["tool_call_id"],
                is_error=row["is_error"],
            )
            for row in reversed(fitting)
        ]

    async def record(self, run_id: UUID, replica: UUID, events: Sequence[StoredEvent]) -> bool:
        """Store events of a run in progress; False when the replica no longer holds it, and nothing was stored."""
        row = await self._transaction.fetch_one(statements.RECORD, run_id, replica, *_event_columns(events))
        return bool(row and row["held"])

    async def claim_expired(self, run_id: UUID, replica: UUID, *, seconds: float) -> int | None:
        """Give a run whose lease has expired to a replica that closes it. How many have tried, this one included.

        None when the lease has not expired, or another replica claims the run just now.
        """
        row = await self._transaction.fetch_one(statements.CLAIM_EXPIRED, run_id, replica, seconds)
        return row["sweeps"] if row else None

    async def last_event(self, run_id: UUID) -> int:
        """Number of the last event that is stored; 0 when there is none."""
        row = await self._transaction.fetch_one(statements.LAST_EVENT, run_id)
        return row["seq"] if row else 0

    async def move(
        self,
        run_id: UUID,
        status: RunStatus,
        *,
        holder: UUID | None,
        replica: UUID | None = None,
        lease_seconds: float = 0.0,
    ) -> bool:
        """Give a run that `holder` drives, None for one that no replica drives, another status that is in progress.

        False when the run is not held by it, when its present status does not permit that, or when it has to be
        cancelled instead; nothing was written then. A status that is leased needs the `replica` that drives the run
        from now on, others take none.
        """
        if not RULES[status].in_progress or RULES[status].leased != (replica is not None):
            raise ValueError(f"a run cannot be moved to {status} with replica {replica}")
        before = [one.value for one in preceding(status)]
        row = await self._transaction.fetch_one(
            statements.MOVE, run_id, status.value, holder, replica, lease_seconds, before
        )
        return row is not None

    async def close(self, run_id: UUID, closing: Closing, *, holder: UUID | None, closer: UUID) -> RunEnd | None:
        """End a run that `holder` drives, None for a run that no replica drives.

        None when the run is not held by it or cannot end like this; nothing was written then.
        """
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
            [status.value for status in preceding(closing.status)],
        )
        return _run_end(row) if row else None

    async def closed_by(self, run_id: UUID, replica: UUID) -> RunEnd | None:
        """The end of a run if this replica has closed it."""
        row = await self._transaction.fetch_one(statements.CLOSED_BY, run_id, replica)
        return _run_end(row) if row else None

    async def progress(self, run_id: UUID) -> RunProgress | None:
        """Where a run is, without its events. Read before them: what a run that has ended reported is all there."""
        row = await self._transaction.fetch_one(statements.PROGRESS, run_id)
        return RunProgress(RunStatus(row["status"]), row["last_seq"]) if row else None

    async def cancel_requested(self, run_id: UUID) -> bool:
        """Whether the end of a run was requested."""
        row = await self._transaction.fetch_one(statements.CANCEL_REQUESTED, run_id)
        return bool(row and row["cancel_requested"])

    async def events(self, run_id: UUID, *, after: int, limit: int = BATCH_EVENTS) -> list[StoredEvent]:
        """The batch of stored events that follow number `after`: `limit` of them, or fewer when they are large."""
        rows = await self._transaction.fetch(statements.EVENTS, run_id, after, limit, BATCH_BYTES)
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


def _run_end(row: Any) -> RunEnd:
    usage = RunUsage(input_tokens=row["input_tokens"], output_tokens=row["output_tokens"])
    return RunEnd(row["finished_at"], usage, row["cost"])
