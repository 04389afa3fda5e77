"""The rows of runs as clients read them, and the wish to cancel; the service uses it. `journal` writes them."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from agentic_api.runs.schemas import Failure, Run, RunMessage, RunSummary, RunUsage, ToolExecution
from agentic_core.db import Repository, pages, tables
from agentic_core.db.pages import BoundedPage

runs, usage, messages, tool_executions = tables.runs, tables.usage, tables.messages, tables.tool_executions


class RunRepository(Repository):
    """Runs of a tenant."""

    async def request_cancel(self, run_id: UUID) -> bool:
        """Note that a run shall end; False when it does not run."""
        mine = (runs.c.tenant_id == self.tenant_id) & (runs.c.id == run_id) & (runs.c.status == "running")
        noted = await self.session.execute(
            sa.update(runs).where(mine).values(cancel_requested=True).returning(runs.c.id)
        )
        return noted.one_or_none() is not None

    async def size(self, run_id: UUID) -> int:
        """Bytes of what was said in a run and of what its tools did, without reading it."""
        of_run = (messages.c.tenant_id == runs.c.tenant_id) & (messages.c.run_id == runs.c.id)
        after = (messages.c.conversation_id == runs.c.conversation_id) & (messages.c.position >= runs.c.first_position)
        said = self.select(runs, sa.func.sum(messages.c.size)).join(messages, of_run & after).where(runs.c.id == run_id)
        arguments = sa.func.octet_length(sa.cast(tool_executions.c.arguments, sa.Text))
        results = sa.func.coalesce(sa.func.octet_length(tool_executions.c.result), 0)
        did = self.select(tool_executions, sa.func.sum(arguments + results)).where(tool_executions.c.run_id == run_id)
        output = self.select(runs, sa.func.octet_length(runs.c.output)).where(runs.c.id == run_id)
        parts = [sa.func.coalesce(part.scalar_subquery(), 0) for part in (said, did, output)]
        return int((await self.session.execute(sa.select(parts[0] + parts[1] + parts[2]))).scalar_one())

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

    async def summary(self, run_id: UUID) -> RunSummary | None:
        """A run without its messages and tools."""
        row = (await self.session.execute(self._summaries().where(runs.c.id == run_id))).one_or_none()
        return RunSummary(**_summary(row)) if row else None

    async def page(self, *, limit: int, before: UUID | None, **equal: str | UUID | None) -> BoundedPage[RunSummary]:
        """The newest runs before `before` whose columns have these values."""
        size = sa.func.octet_length(runs.c.output) + sa.func.coalesce(sa.func.octet_length(runs.c.error_message), 0)
        query = self.select(runs, runs.c.id.label("key"), size.label("size")).order_by(runs.c.id.desc())
        if before is not None:
            query = query.where(runs.c.id < before)
        for name, value in equal.items():
            if value is not None:
                query = query.where(runs.c[name] == value)
        keys = pages.page_keys(query, limit=limit)
        found = self._summaries(keys.c.candidates).join(keys, keys.c.key == runs.c.id).order_by(keys.c.position)
        rows = list(await self.session.execute(found))
        return pages.page([RunSummary(**_summary(row)) for row in rows], candidates=rows[0].candidates if rows else 0)

    def _summaries(self, *more: sa.ColumnElement[Any]) -> sa.Select[Any]:
        spent = (
            sa.select(
                sa.func.coalesce(sa.func.sum(usage.c.input_tokens), 0).label("input_tokens"),
                sa.func.coalesce(sa.func.sum(usage.c.output_tokens), 0).label("output_tokens"),
                sa.func.coalesce(sa.func.sum(usage.c.cost), 0).label("cost"),
            )
            .where(usage.c.tenant_id == runs.c.tenant_id, usage.c.run_id == runs.c.id)
            .lateral("spent")
        )
        return self.select(runs, *runs.c, *spent.c, *more).select_from(runs.join(spent, sa.true()))


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
