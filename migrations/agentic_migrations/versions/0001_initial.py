"""Tables, row-level security, grants and the functions that span tenants."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

SQL = Path(__file__).with_name("0001_initial")
PARTS = ("tables.sql", "security.sql", "functions.sql")


def upgrade() -> None:
    """Run the parts in their order."""
    for part in PARTS:
        op.execute((SQL / part).read_text().replace(":", r"\:"))
