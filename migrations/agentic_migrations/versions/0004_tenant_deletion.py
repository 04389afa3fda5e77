"""Deletion of tenants in bounded batches over whatever tables there are, and no rows of tenants that are gone."""

from pathlib import Path

from agentic_migrations import script
from alembic import op

revision = "0004"
down_revision = "0003"

SQL = Path(__file__).with_name("0004_tenant_deletion")


def upgrade() -> None:
    """Run the parts in their order."""
    for part in ("guard.sql", "deletion.sql"):
        script.run(op.get_bind(), SQL / part)
