"""A database role for each program with the least, keys that are bound to their row, and no deletion of live tenants.

The role `agentic_app` of versions before keeps its rights, so that their replicas go on during an upgrade.
"""

from pathlib import Path

import sqlalchemy as sa
from agentic_migrations import script
from alembic import op

revision = "0008"
down_revision = "0007"

SQL = Path(__file__).with_name("0008_roles")
MISSING = "select name from unnest(array['agentic_api', 'agentic_gateway']) name where to_regrole(name) is null"


def upgrade() -> None:
    """Run the parts in their order."""
    connection = op.get_bind()
    if missing := connection.execute(sa.text(MISSING)).scalars().all():
        raise RuntimeError(
            f"Database roles not found: {', '.join(missing)}. Create them as administrator of the database, as"
            " docs/installing.md says, and run this again; until then the version before goes on."
        )
    for part in ("tenants.sql", "keys.sql", "grants.sql"):
        script.run(connection, SQL / part)
