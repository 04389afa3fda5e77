"""Brings a database up to date; the installation runs it as the migrator, tests after `roles.create`."""

import asyncio

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK = 0x6167656E746963
"""Key of the advisory lock that makes concurrent migrators wait for one another."""
POLL_SECONDS = 0.2
SCRIPTS = "agentic_migrations:"
"""The package that holds the versions, as Alembic writes it."""


async def upgrade(dsn: str) -> None:
    """Run the missing migrations as the role of the DSN, a member of `agentic_owner`. Concurrent calls take turns."""
    engine = create_async_engine(make_url(dsn).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            # Polled: a statement that waits has a snapshot, and the one that has the lock waits until all snapshots
            # have ended when it builds an index concurrently.
            while not (await connection.execute(sa.text("select pg_try_advisory_lock(:key)"), {"key": LOCK})).scalar():
                await connection.rollback()
                await asyncio.sleep(POLL_SECONDS)
            await connection.execute(sa.text("set role agentic_owner"))
            await connection.commit()
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: sa.Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", SCRIPTS)
    command.upgrade(config, "head")
