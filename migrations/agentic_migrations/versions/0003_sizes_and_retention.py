"""Sizes that pages are bounded by without reading what they measure, and the deletion of old events."""

from pathlib import Path

from agentic_migrations import script
from alembic import op

revision = "0003"
down_revision = "0002"

SQL = Path(__file__).with_name("0003_sizes_and_retention")


def upgrade() -> None:
    """Run the parts in their order."""
    for part in ("sizes.sql", "retention.sql"):
        script.run(op.get_bind(), SQL / part)
