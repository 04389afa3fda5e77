"""How Alembic runs a migration: on the connection that `agentic_core.db.migrate` gives, as the owner."""

from alembic import context
from sqlalchemy import Connection, text


def migrate(connection: Connection) -> None:
    """Run what is missing in one transaction, as the role that owns everything."""
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("set local role agentic_owner"))
        context.run_migrations()


migrate(context.config.attributes["connection"])
