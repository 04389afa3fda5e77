"""Tables, row-level security, grants and the functions that span tenants."""

from pathlib import Path

from agentic_migrations import script
from alembic import op

revision = "0001"
down_revision = None

SQL = Path(__file__).with_name("0001_initial")


def upgrade() -> None:
    """Run the parts in their order."""
    for part in ("tables.sql", "security.sql", "functions.sql"):
        script.run(op.get_bind(), SQL / part)
