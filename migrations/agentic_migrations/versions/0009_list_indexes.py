"""An index for every list, so that a page reads about as many rows as it shows.

None has the status of runs: each run would pay for it twice, once when it begins and once when it ends.

They are built while the tables are written; an attempt that failed has left an index that is not valid.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

INDEXES = {
    "messages_run": "messages (tenant_id, run_id, position)",
    "api_keys_live": "api_keys (tenant_id, expires_at) where revoked_at is null",
}


def upgrade() -> None:
    """Build them one after the other."""
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            op.execute(f"drop index concurrently if exists {name}")
            op.execute(f"create index concurrently {name} on {columns}")
