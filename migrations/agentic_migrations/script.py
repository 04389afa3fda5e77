"""Runs a file of many SQL statements; the versions call it, since a prepared statement holds only one."""

from pathlib import Path

import sqlalchemy as sa


def run(connection: sa.Connection, path: Path) -> None:
    """Run all statements of the file inside the connection's transaction."""
    sql = path.read_text()
    adapted = connection.connection.dbapi_connection
    adapted.run_async(lambda driver: driver.execute(sql))  # type: ignore[union-attr]
