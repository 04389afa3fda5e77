"""How often replicas have tried to close a run of a dead replica: what fails twice is closed without its transcript."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; its default takes no rewrite of the table."""
    op.execute("alter table runs add column sweeps integer not null default 0")
