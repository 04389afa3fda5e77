"""Runs a file of many SQL statements; the versions call it, since a prepared statement holds only one."""

from pathlib import Path

import sqlalchemy as sa

LOCK_TIMEOUT = "4s"
"""How long a statement waits for a lock, and with it whatever comes after it to the same table."""


def run(connection: sa.Connection, path: Path) -> None:
    """Run all statements of the file inside the connection's transaction, which the first one here begins."""
    connection.exec_driver_sql(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    sql = path.read_text()
    adapted = connection.connection.dbapi_connection
    adapted.run_async(lambda driver: driver.execute(sql))  # type: ignore[union-attr]
