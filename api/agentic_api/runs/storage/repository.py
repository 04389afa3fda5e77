"""The rows of runs as clients read them, and their cancellation; the service calls it. `journal` writes the rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from agentic_api.runs.schemas import (
    ERROR_CHARACTERS,
    INLINE_BYTES,
    OUTPUT_CHARACTERS,
    Run,
    RunFailure,
    RunMessage,
    RunSummary,
    RunUsage,
    ToolExecution,
)
from agentic_api.runs.states import LEASED, RunStatus, preceding
from agentic_api.runs.storage import stored_json
from agentic_core.contract import Failed, RunError
from agentic_core.db import Repository, pages, tables
from agentic_core.db.pages import BoundedPage

runs, run_events, usage = tables.runs, tables.run_events, tables.usage
conversations, messages, tool_executions = tables.conversations, tables.messages, tables.tool_executions
MAX_ITEMS = 1000
"""Maximum of messages, and of tool calls, that a large run is shown with."""


class RunRepository(Repository):
    """Runs of a tenant."""

    async def cancel(self, run_id: UUID, error: RunError) -> RunStatus | None:
        """End a run in progress, or note that the replica that drives it has to; None when it is not in progress.

        Returns the status that the run has then. One statement, so that a run that another transaction moves meanwhile
        is cancelled as what it has become: the number of its last event is in its row for that, not in this snapshot.
        """
        driven = runs.c.status.in_(LEASED)
        ended = {
            "status": RunStatus.CANCELLED,
            "finished_at": sa.func.now(),
            "last_seq": runs.c.last_seq + 1,
            "error_code": error.code,
            "error_message": error.message,
        }
        cancelled = (
            sa.update(runs)
            .where(runs.c.tenant_id == self.tenant_id, runs.c.id == run_id)
            .where(runs.c.status.in_(preceding(RunStatus.CANCELLED)))
            .values({name: sa.case((driven, runs.c[name]), else_=value) for name, value in ended.items()})
            .values(cancel_requested=True)
            .returning(runs.c.tenant_id, runs.c.id, runs.c.status, runs.c.last_seq)
            .cte("cancelled")
        )
        payload = sa.literal(Failed(error=error).model_dump_json())
        event = sa.select(cancelled.c.tenant_id, cancelled.c.id, cancelled.c.last_seq, sa.literal("error"), payload)
        noted = sa.insert(run_events).from_select(
            ["tenant_id", "run_id", "seq", "type", "payload"],
            event.where(cancelled.c.status == RunStatus.CANCELLED),
        )
        found = await self.session.execute(sa.select(cancelled.c.status).add_cte(noted.cte("noted")))
        status: str | None = found.scalar_one_or_none()
        return RunStatus(status) if status else None

    async def get(self, run_id: UUID) -> Run | None:
        """A run with its messages and tool calls; only the first of them, and of the output, when it is large."""
        measured = (await self.session.execute(self._measure(run_id))).one()
        large = measured.size > INLINE_BYTES
        row = (await self.session.execute(self._summaries(whole=not large).where(runs.c.id == run_id))).one_or_none()
        if row is None:
            return None
        part: dict[str, int] = {"limit": MAX_ITEMS, "max_bytes": INLINE_BYTES // 2, "at_least": 0} if large else {}
        added = await self._rows(self._messages(run_id), "tool_calls", **part)
        calls = await self._rows(self._tool_calls(run_id), "arguments", **part)
        return Run(
            **_summary(row),
            messages=[message(one) for one in added],
            messages_truncated=len(added) < measured.messages,
            tool_calls=[_tool(one) for one in calls],
            tool_calls_truncated=len(calls) < measured.tool_calls,
        )

    async def messages(self, run_id: UUID, *, after: int, limit: int) -> BoundedPage[tuple[int, RunMessage]]:
        """The messages of a run that follow a position in its conversation, with their positions."""
        query = self._messages(run_id).where(messages.c.position > after)
        rows = await self._rows(query, "tool_calls", limit=limit, at_least=1)
        return pages.page([(row.position, message(row)) for row in rows], candidates=_candidates(rows))

    async def tool_calls(self, run_id: UUID, *, after: int, limit: int) -> BoundedPage[tuple[int, ToolExecution]]:
        """The tool calls of a run that follow a position, with their positions."""
        query = self._tool_calls(run_id).where(tool_executions.c.position > after)
        rows = await self._rows(query, "arguments", limit=limit, at_least=1)
        return pages.page([(row.position, _tool(row)) for row in rows], candidates=_candidates(rows))

    async def summary(self, run_id: UUID) -> RunSummary | None:
        """A run without its messages and tool calls."""
        row = (await self.session.execute(self._summaries().where(runs.c.id == run_id))).one_or_none()
        return RunSummary(**_summary(row)) if row else None

    async def page(self, *, limit: int, before: UUID | None, **equal: str | UUID | None) -> BoundedPage[RunSummary]:
        """The newest runs before `before` whose columns have these values."""
        size = sa.func.least(sa.func.octet_length(runs.c.output), OUTPUT_CHARACTERS)
        query = self.select(runs, runs.c.id.label("key"), size.label("size")).order_by(runs.c.id.desc())
        if before is not None:
            query = query.where(runs.c.id < before)
        if equal.get("conversation_id") and equal.get("agent"):
            query = query.where(self._is_with(equal["conversation_id"], equal.pop("namespace"), equal.pop("agent")))
        for name, value in equal.items():
            if value is not None:
                query = query.where(runs.c[name] == value)
        keys = pages.page_keys(query, limit=limit)
        found = self._summaries(keys.c.candidates).join(keys, keys.c.key == runs.c.id).order_by(keys.c.position)
        rows = list(await self.session.execute(found))
        return pages.page([RunSummary(**_summary(row)) for row in rows], candidates=_candidates(rows))

    def _is_with(self, conversation_id: Any, namespace: Any, agent: Any) -> sa.ColumnElement[bool]:
        """Whether a conversation is with an agent: looked up once, not for each of its runs."""
        found = self.select(conversations, sa.literal(1)).where(
            conversations.c.id == conversation_id, conversations.c.agent_id == self.agent_id(namespace, agent)
        )
        return found.exists()

    async def _rows(self, query: sa.Select[Any], json: str, **page: int) -> Sequence[sa.Row[Any]]:
        """The rows of a query with `position` and `size`, in order: all, or those of a page with these bounds.

        The JSON values in the column `json` are bounded, too.
        """
        items = query.subquery()
        found = sa.select(items).order_by(items.c.position)
        if page:
            measured = query.subquery()
            ordered: Any = sa.select(measured.c.position.label("key"), measured.c.size).order_by(measured.c.position)
            keys = pages.page_keys(ordered, **page)
            found = found.add_columns(keys.c.candidates).join(keys, keys.c.key == items.c.position)
        rows = list(await self.session.execute(found))
        return stored_json.first(rows, lambda row: str(getattr(row, json)), at_least=page.get("at_least", 0))

    def _messages(self, run_id: UUID) -> sa.Select[Any]:
        return self.select(messages, *pages.json_as_text(messages)).where(messages.c.run_id == run_id)

    def _tool_calls(self, run_id: UUID) -> sa.Select[Any]:
        arguments = sa.func.octet_length(sa.cast(tool_executions.c.arguments, sa.Text))
        size = arguments + sa.func.coalesce(sa.func.octet_length(tool_executions.c.result), 0)
        columns = *pages.json_as_text(tool_executions), size.label("size")
        return self.select(tool_executions, *columns).where(tool_executions.c.run_id == run_id)

    def _measure(self, run_id: UUID) -> sa.Select[Any]:
        """How many messages and tool calls a run has, and the bytes of them and of the output, without reading them."""
        added, calls = (
            sa.select(sa.func.count().label("count"), sa.func.coalesce(sa.func.sum(items.c.size), 0).label("size"))
            .select_from(items)
            .subquery()
            for items in (self._messages(run_id).subquery(), self._tool_calls(run_id).subquery())
        )
        output = self.select(runs, sa.func.octet_length(runs.c.output)).where(runs.c.id == run_id).scalar_subquery()
        size = added.c.size + calls.c.size + sa.func.coalesce(output, 0)
        columns = size.label("size"), added.c.count.label("messages"), calls.c.count.label("tool_calls")
        found: sa.Select[Any] = sa.select().add_columns(*columns).select_from(added.join(calls, sa.true()))
        return found

    def _summaries(self, *more: sa.ColumnElement[Any], whole: bool = False) -> sa.Select[Any]:
        """Runs with their usage; with the whole output, or its start."""
        spent = (
            sa.select(
                sa.func.coalesce(sa.func.sum(usage.c.input_tokens), 0).label("input_tokens"),
                sa.func.coalesce(sa.func.sum(usage.c.output_tokens), 0).label("output_tokens"),
                sa.func.coalesce(sa.func.sum(usage.c.cost), 0).label("cost"),
            )
            .where(usage.c.tenant_id == runs.c.tenant_id, usage.c.run_id == runs.c.id)
            .lateral("spent")
        )
        long = sa.func.length(runs.c.output) > OUTPUT_CHARACTERS
        columns = (
            *(column for column in runs.c if column.name not in {"output", "error_message"}),
            runs.c.output if whole else sa.func.left(runs.c.output, OUTPUT_CHARACTERS).label("output"),
            (sa.false() if whole else long).label("output_truncated"),
            sa.func.left(runs.c.error_message, ERROR_CHARACTERS).label("error_message"),
        )
        return self.select(runs, *columns, *spent.c, *more).select_from(runs.join(spent, sa.true()))


def _candidates(rows: Sequence[sa.Row[Any]]) -> int:
    return rows[0].candidates if rows else 0


def _summary(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "agent": f"{row.namespace}.{row.agent}",
        "revision": row.revision,
        "conversation_id": row.conversation_id,
        "parent_run_id": row.parent_run_id,
        "output": row.output,
        "output_truncated": row.output_truncated,
        "usage": RunUsage(input_tokens=row.input_tokens, output_tokens=row.output_tokens),
        "cost": row.cost,
        "trace_id": row.trace_id,
        "error": RunFailure(code=row.error_code, message=row.error_message or "") if row.error_code else None,
        "metadata": row.metadata,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def message(row: sa.Row[Any]) -> RunMessage:
    """A message as clients get it."""
    return RunMessage(
        role=row.role,
        content=row.content,
        tool_calls=stored_json.tool_calls(row.tool_calls),
        tool_call_id=row.tool_call_id,
        is_error=row.is_error,
    )


def _tool(row: sa.Row[Any]) -> ToolExecution:
    return ToolExecution(
        id=row.call_id,
        name=row.name,
        arguments=stored_json.arguments(row.arguments),
        result=row.result,
        is_error=row.is_error,
        duration_ms=row.duration_ms,
    )
