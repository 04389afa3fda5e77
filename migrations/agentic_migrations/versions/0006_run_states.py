"""Statuses of runs that no replica drives, one run in progress for each conversation, and runs with a parent.

A run outlives its parent: deleting the parent's conversation leaves its children without one.
"""

from pathlib import Path

from agentic_migrations import script
from alembic import op

revision = "0006"
down_revision = "0005"

SQL = Path(__file__).with_name("0006_run_states")
ONLINE = (
    "drop index concurrently if exists runs_one_in_progress",  # what an attempt that failed has left
    (
        "create unique index concurrently runs_one_in_progress on runs (tenant_id, conversation_id)"
        " where finished_at is null"
    ),
    "drop index concurrently if exists runs_one_running",
    "drop index concurrently if exists runs_parent_run",
    "create index concurrently runs_parent_run on runs (tenant_id, parent_run_id) where parent_run_id is not null",
    *(
        f"alter table runs validate constraint {name}"
        for name in ("runs_status_known", "runs_finished", "runs_leased", "runs_paused", "runs_parent")
    ),
)


def upgrade() -> None:
    """Change the table at once, then build and validate what takes long without keeping runs from being written."""
    script.run(op.get_bind(), SQL / "states.sql")
    with op.get_context().autocommit_block():
        for statement in ONLINE:
            op.execute(statement)
