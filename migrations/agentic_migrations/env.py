"""How Alembic runs a migration: on the connection that `agentic_core.db.migrate` gives, as the owner, one at a time."""

from alembic import context
from sqlalchemy import Connection, text

LOCK = 0x6167656E746963
"""Key of the advisory lock that makes concurrent migrators wait for one another."""


def migrate(connection: Connection) -> None:
    """Run what is missing in one transaction, as the role that owns everything."""
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK})
        connection.execute(text("set local role agentic_owner"))
        context.run_migrations()


migrate(context.config.attributes["connection"])
