"""The rows of runs: how they begin, are recorded, closed and read; the service, the driver and the sweeper use it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from pydantic import TypeAdapter

from agentic_api.runs import statements
from agentic_api.runs.records import Closed, Closing, ConversationState, KnownRequest, NewRun, RunState, StoredEvent
from agentic_api.runs.schemas import (
    Failure,
    Run,
    RunMessage,
    RunSummary,
    RunUsage,
    Status,
    ToolExecution,
)
from agentic_core.contract import Message, ToolCall
from agentic_core.db import Repository, tables

TOOL_CALLS = TypeAdapter(list[ToolCall])
ARGUMENTS = TypeAdapter(dict[str, Any])
runs, usage, messages, tool_executions = tables.runs, tables.usage, tables.messages, tables.tool_executions


class RunRepository(Repository):
    """Runs, their events, and what they add to conversations."""

    async def _execute(self, statement: str, *values: Any) -> sa.CursorResult[Any]:
        connection = await self.session.connection()
        return await connection.exec_driver_sql(statement, (self.tenant_id, *values))

    async def begin(self, new: NewRun) -> sa.Row[Any] | None:
        """Store a new run and what was said; None when the conversation it continues is not this agent's."""
        statement = statements.BEGIN_CONTINUED if new.continues else statements.BEGIN_NEW
        result = await self._execute(
            statement,
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
        return result.one_or_none()

    async def known_request(self, idempotency_key: str) -> KnownRequest | None:
        """The run that was begun with this key."""
        row = (await self._execute(statements.BY_KEY, idempotency_key)).one_or_none()
        return KnownRequest(row.id, row.fingerprint) if row else None

    async def lock_conversation(self, conversation_id: UUID) -> ConversationState | None:
        """The conversation, which nobody else can continue until the transaction ends."""
        row = (await self._execute(statements.LOCK_CONVERSATION, conversation_id)).one_or_none()
        return ConversationState(row.agent_id, row.message_count) if row else None

    async def running_in(self, conversation_id: UUID) -> UUID | None:
        """The run that is going on in a conversation."""
        found: UUID | None = (await self._execute(statements.RUNNING_IN, conversation_id)).scalar()
        return found

    async def history(self, conversation_id: UUID, *, most: int) -> list[Message]:
        """The last messages of a conversation, in their order."""
        rows = (await self._execute(statements.HISTORY, conversation_id, most)).all()
        return [
            Message(
                role=row.role,
                content=row.content,
                tool_calls=row.tool_calls,
                tool_call_id=row.tool_call_id,
                is_error=row.is_error,
            )
            for row in reversed(rows)
        ]

    async def record(self, run_id: UUID, replica: UUID, events: Sequence[StoredEvent]) -> bool:
        """Store events of a run in progress; False when the replica no longer holds it, and nothing was stored."""
        result = await self._execute(statements.RECORD, run_id, replica, *_columns(events))
        return bool(result.scalar_one())

    async def lock_expired(self, run_id: UUID) -> UUID | None:
        """The replica that let the lease of this run expire; None when another closes it or it goes on."""
        found: UUID | None = (await self._execute(statements.LOCK_EXPIRED, run_id)).scalar()
        return found

    async def close(self, run_id: UUID, closing: Closing, *, holder: UUID, closer: UUID) -> Closed | None:
        """End a run that `holder` drives; None when it is not running or not held by it, and nothing was written."""
        error = closing.error
        result = await self._execute(
            statements.CLOSE,
            run_id,
            holder,
            closer,
            closing.status.value,
            closing.output,
            error.code if error else None,
            error.message if error else None,
            closing.last_seq,
            *_columns(closing.events),
            [message.role for message in closing.messages],
            [message.content for message in closing.messages],
            [TOOL_CALLS.dump_json(message.tool_calls).decode() for message in closing.messages],
            [message.tool_call_id for message in closing.messages],
            [message.is_error for message in closing.messages],
            [tool.id for tool in closing.tools],
            [tool.name for tool in closing.tools],
            [ARGUMENTS.dump_json(tool.arguments).decode() for tool in closing.tools],
            [tool.result for tool in closing.tools],
            [tool.is_error for tool in closing.tools],
            [tool.duration_ms for tool in closing.tools],
        )
        row = result.one_or_none()
        return Closed(row.finished_at, _usage(row), row.cost) if row else None

    async def closed_by(self, run_id: UUID, replica: UUID) -> Closed | None:
        """The end of a run if this replica has closed it."""
        query = self._summaries().where(runs.c.id == run_id, runs.c.replica == replica, runs.c.status != "running")
        row = (await self.session.execute(query)).one_or_none()
        return Closed(row.finished_at, _usage(row), row.cost) if row else None

    async def state(self, run_id: UUID) -> RunState | None:
        """Where a run is."""
        row = (await self._execute(statements.STATE, run_id)).one_or_none()
        return RunState(Status(row.status), row.replica, row.last_seq) if row else None

    async def events(self, run_id: UUID, *, after: int, most: int) -> list[StoredEvent]:
        """Stored events that follow number `after`."""
        rows = (await self._execute(statements.EVENTS, run_id, after, most)).all()
        return [StoredEvent(row.seq, row.type, row.payload) for row in rows]

    async def request_cancel(self, run_id: UUID) -> bool:
        """Note that a run shall end; False when it does not run."""
        return bool((await self._execute(statements.REQUEST_CANCEL, run_id)).rowcount)

    async def get(self, run_id: UUID) -> Run | None:
        """A run with its messages and tools."""
        row = (await self.session.execute(self._summaries().where(runs.c.id == run_id))).one_or_none()
        if row is None:
            return None
        said = self.select(messages).where(
            messages.c.conversation_id == row.conversation_id,
            messages.c.position >= row.first_position,
            messages.c.run_id == run_id,
        )
        tools = self.select(tool_executions).where(tool_executions.c.run_id == run_id)
        return Run(
            **_summary(row),
            messages=[message(item) for item in await self.session.execute(said.order_by(messages.c.position))],
            tool_calls=[_tool(item) for item in await self.session.execute(tools.order_by(tool_executions.c.position))],
        )

    async def page(self, *, limit: int, before: UUID | None, **equal: str | UUID | None) -> list[RunSummary]:
        """The newest runs before `before` whose columns have these values."""
        query = self._summaries().order_by(runs.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(runs.c.id < before)
        for name, value in equal.items():
            if value is not None:
                query = query.where(runs.c[name] == value)
        return [RunSummary(**_summary(row)) for row in await self.session.execute(query)]

    def _summaries(self) -> sa.Select[Any]:
        spent = (
            sa.select(
                sa.func.coalesce(sa.func.sum(usage.c.input_tokens), 0).label("input_tokens"),
                sa.func.coalesce(sa.func.sum(usage.c.output_tokens), 0).label("output_tokens"),
                sa.func.coalesce(sa.func.sum(usage.c.cost), 0).label("cost"),
            )
            .where(usage.c.tenant_id == runs.c.tenant_id, usage.c.run_id == runs.c.id)
            .lateral("spent")
        )
        return self.select(runs, *runs.c, *spent.c).select_from(runs.join(spent, sa.true()))


def _columns(events: Sequence[StoredEvent]) -> tuple[list[int], list[str], list[str]]:
    return [e.seq for e in events], [e.type for e in events], [e.payload for e in events]


def _usage(row: sa.Row[Any]) -> RunUsage:
    return RunUsage(input_tokens=row.input_tokens, output_tokens=row.output_tokens)


def _summary(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "agent": f"{row.namespace}.{row.agent}",
        "revision": row.revision,
        "conversation_id": row.conversation_id,
        "output": row.output,
        "usage": _usage(row),
        "cost": row.cost,
        "trace_id": row.trace_id,
        "error": Failure(code=row.error_code, message=row.error_message or "") if row.error_code else None,
        "metadata": row.metadata,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def message(row: sa.Row[Any]) -> RunMessage:
    """A message as clients see it."""
    return RunMessage(
        role=row.role,
        content=row.content,
        tool_calls=row.tool_calls,
        tool_call_id=row.tool_call_id,
        is_error=row.is_error,
    )


def _tool(row: sa.Row[Any]) -> ToolExecution:
    return ToolExecution(
        id=row.call_id,
        name=row.name,
        arguments=row.arguments,
        result=row.result,
        is_error=row.is_error,
        duration_ms=row.duration_ms,
    )
