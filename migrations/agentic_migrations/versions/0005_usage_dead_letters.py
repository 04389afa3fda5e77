"""Usage that the usage table rejects, kept apart until somebody enters it."""

from agentic_migrations.tenancy import tenant_table
from alembic import op

revision = "0005"
down_revision = "0004"

TABLE = """
create table usage_dead_letters (
    tenant_id uuid not null,
    id uuid not null,
    "row" jsonb not null,
    error text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
)
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(TABLE)
    tenant_table(op.get_bind(), "usage_dead_letters", grants=("select", "insert"))
