"""How Alembic runs migrations: on the connection that `agentic_core.db.migrate` gives, as the owner.

Each migration is a transaction of its own, so that one may build indexes and validate constraints outside of any.
"""

from alembic import context
from sqlalchemy import Connection


def migrate(connection: Connection) -> None:
    """Run what is missing."""
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


migrate(context.config.attributes["connection"])
