"""The tables as SQLAlchemy sees them; repositories build their statements on them, the migrations create them.

Each has `tenant_id`, forced row-level security and indexes that lead with the tenant. Ids are UUIDs of version 7, so
that a primary key is also the order of creation.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()


def _tenant_id() -> sa.Column[Any]:
    return sa.Column("tenant_id", sa.Uuid, primary_key=True)


def _created_at(name: str = "created_at") -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _text(name: str, default: str | None = None) -> sa.Column[Any]:
    value = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.Text, server_default=value, nullable=False)


def _int(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, server_default=sa.text("0"), nullable=False)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, server_default=sa.text("false"), nullable=False)


def _json(name: str, default: str) -> sa.Column[Any]:
    return sa.Column(name, JSONB, server_default=sa.text(f"'{default}'"), nullable=False)


def _refers(columns: list[str], target: str, *, cascade: bool = False) -> sa.ForeignKeyConstraint:
    keys = ["tenant_id", *columns]
    referred = [f"{target}.tenant_id", *([f"{target}.id"] if columns else [])]
    return sa.ForeignKeyConstraint(keys, referred, ondelete="CASCADE" if cascade else None)


tenants = sa.Table("tenants", metadata, _tenant_id(), _text("name"), _created_at(), _time("deleted_at"))
"""The tenants that have rows. The id is the uid of the Tenant resource. Only those of which `deleted_at` is set can be
deleted; the function `mark_tenant_deleted` sets it."""

agents = sa.Table(
    "agents",
    metadata,
    _tenant_id(),
    sa.Column("id", sa.Uuid, primary_key=True),
    _text("namespace"),
    _text("name"),
    _created_at(),
    _refers([], "tenants"),
    sa.UniqueConstraint("tenant_id", "namespace", "name", name="agents_name"),
)
"""Agents that have conversations; their definitions are custom resources."""

conversations = sa.Table(
    "conversations",
    metadata,
    _tenant_id(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("agent_id", sa.Uuid, nullable=False),
    _int("message_count"),
    _created_at(),
    _created_at("updated_at"),
    _refers(["agent_id"], "agents"),
    sa.Index("conversations_agent", "tenant_id", "agent_id", "id"),
)
"""Conversations: the state that an agent keeps between runs."""

messages = sa.Table(
    "messages",
    metadata,
    _tenant_id(),
    sa.Column("conversation_id", sa.Uuid, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Uuid, nullable=False),
    _text("role"),
    _text("content"),
    _json("tool_calls", "[]"),
    sa.Column("tool_call_id", sa.Text),
    _flag("is_error"),
    _created_at(),
    sa.Column(
        "size",
        sa.Integer,
        sa.Computed("octet_length(content) + octet_length(tool_calls::text)", persisted=True),
        nullable=False,
    ),
    _refers(["conversation_id"], "conversations", cascade=True),
    sa.Index("messages_run", "tenant_id", "run_id", "position"),
)
"""Messages in their order in the conversation, from 0."""

runs = sa.Table(
    "runs",
    metadata,
    _tenant_id(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("conversation_id", sa.Uuid, nullable=False),
    _text("namespace"),
    _text("agent"),
    _text("revision"),
    _text("status", "running"),
    _text("output", ""),
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    _text("trace_id", ""),
    _json("metadata", "{}"),
    _int("first_position"),
    _int("last_seq"),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("fingerprint", sa.LargeBinary),
    sa.Column("replica", sa.Uuid),
    _time("lease_expires_at"),
    _int("sweeps"),
    _flag("cancel_requested"),
    sa.Column("parent_run_id", sa.Uuid),
    _created_at(),
    _time("finished_at"),
    _refers(["conversation_id"], "conversations", cascade=True),
    sa.ForeignKeyConstraint(
        ["tenant_id", "parent_run_id"],
        ["runs.tenant_id", "runs.id"],
        name="runs_parent",
        ondelete="SET NULL (parent_run_id)",
    ),
    sa.CheckConstraint(
        "status in ('queued', 'running', 'waiting', 'outcome_unknown',"
        " 'succeeded', 'failed', 'cancelled', 'interrupted')",
        name="runs_status_known",
    ),
    sa.CheckConstraint(
        "(status in ('queued', 'running', 'waiting', 'outcome_unknown')) = (finished_at is null)", name="runs_finished"
    ),
    sa.CheckConstraint("status not in ('running') or replica is not null", name="runs_leased"),
    sa.CheckConstraint(
        "status not in ('queued', 'waiting', 'outcome_unknown') or (replica is null and lease_expires_at is null)",
        name="runs_paused",
    ),
    sa.Index("runs_conversation", "tenant_id", "conversation_id", "id"),
    sa.Index("runs_agent", "tenant_id", "namespace", "agent", "id"),
    sa.Index(
        "runs_one_in_progress",
        "tenant_id",
        "conversation_id",
        unique=True,
        postgresql_where=sa.text("finished_at is null"),
    ),
    sa.Index("runs_parent_run", "tenant_id", "parent_run_id", postgresql_where=sa.text("parent_run_id is not null")),
    sa.Index("runs_leases", "tenant_id", "lease_expires_at", postgresql_where=sa.text("status = 'running'")),
    sa.Index(
        "runs_idempotency",
        "tenant_id",
        "idempotency_key",
        unique=True,
        postgresql_where=sa.text("idempotency_key is not null"),
    ),
)
"""Runs. While one is running, `replica` drives it and keeps its lease; after that it is the replica that closed it.

What the statuses mean is in `agentic_api.runs.states`.
"""

run_events = sa.Table(
    "run_events",
    metadata,
    _tenant_id(),
    sa.Column("run_id", sa.Uuid, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    _text("type"),
    _text("payload", "{}"),
    _refers(["run_id"], "runs", cascade=True),
)
"""What the runtime reported, in order, from 1; JSON that only clients read. Deleted some days after the run's end."""

tool_executions = sa.Table(
    "tool_executions",
    metadata,
    _tenant_id(),
    sa.Column("run_id", sa.Uuid, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    _text("call_id"),
    _text("name"),
    _json("arguments", "{}"),
    sa.Column("result", sa.Text),
    _flag("is_error"),
    _int("duration_ms"),
    _refers(["run_id"], "runs", cascade=True),
)
"""Calls of tools; `result` is null when the run ended before the tool did."""

api_keys = sa.Table(
    "api_keys",
    metadata,
    _tenant_id(),
    sa.Column("id", sa.Text, primary_key=True),
    _text("name"),
    _text("role"),
    sa.Column("hash", sa.LargeBinary, server_default=sa.text("''"), nullable=False),
    sa.Column("digest", sa.LargeBinary),
    _created_at(),
    _time("expires_at"),
    _time("revoked_at"),
    _refers([], "tenants"),
    sa.Index("api_keys_id", "id", unique=True),
    sa.Index("api_keys_live", "tenant_id", "expires_at", postgresql_where=sa.text("revoked_at is null")),
)
"""API keys. The index on the id alone is the one way in before the tenant is known. Keys without a digest are those of
versions before, which read the hash; they are not accepted."""

usage = sa.Table(
    "usage",
    metadata,
    _tenant_id(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("run_id", sa.Uuid, nullable=False),
    _text("provider"),
    _text("model"),
    _text("operation", "chat"),
    _int("input_tokens"),
    _int("output_tokens"),
    sa.Column("cost", sa.Numeric(18, 9), server_default=sa.text("0"), nullable=False),
    _flag("estimated"),
    _text("status"),
    _created_at(),
    sa.Index("usage_run", "tenant_id", "run_id"),
)
"""One row a model call, appended by the gateway before it ends the response, so that a finished run's cost is complete.

`status` is completed, cancelled or broken; the tokens of `estimated` rows were counted for want of the provider's word.
"""

run_tokens = sa.Table(
    "run_tokens",
    metadata,
    _tenant_id(),
    sa.Column("run_id", sa.Uuid, primary_key=True),
    sa.Column("tokens", sa.BigInteger, nullable=False),
)
"""The sum of a run's usage in tokens, kept by the statement that appends it."""

usage_dead_letters = sa.Table(
    "usage_dead_letters",
    metadata,
    _tenant_id(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("row", JSONB, nullable=False),
    _text("error"),
    _created_at(),
)
"""Rows that `usage` rejects, under their ids. Costs and run totals are without them until they are entered."""

audit_log = sa.Table(
    "audit_log",
    metadata,
    _tenant_id(),
    sa.Column("id", sa.Uuid, primary_key=True),
    _text("actor"),
    _text("action"),
    _text("target"),
    _json("details", "{}"),
    _created_at(),
)
"""Who changed what. Only appended to."""
