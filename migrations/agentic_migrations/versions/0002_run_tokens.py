"""The tokens that each run has used, counted as its usage is appended."""

from pathlib import Path

from agentic_migrations import script
from alembic import op

revision = "0002"
down_revision = "0001"

SQL = Path(__file__).with_name("0002_run_tokens")


def upgrade() -> None:
    """Make the table and fill it."""
    script.run(op.get_bind(), SQL / "run_tokens.sql")
