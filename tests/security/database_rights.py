"""What each program's database role may do, as PostgreSQL sums it up; `python -m tests.security.database_rights` writes
the golden file anew after an intended change.
"""

import asyncio
from pathlib import Path

import asyncpg

from agentic_core.db import roles
from tests.support.postgres import Postgres

GOLDEN = Path(__file__).parents[1] / "data/database-rights-golden.txt"
VERBS = ("select", "insert", "update", "delete", "truncate", "references", "trigger")
BY_COLUMN = ("select", "insert", "update")
TABLES = """
select c.oid::regclass::text as name,
    array_agg(a.attname order by a.attnum) filter (where a.attgenerated = '') as columns
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') group by 1 order by 1
"""
FUNCTIONS = """
select p.oid::regprocedure::text as name, pg_get_function_identity_arguments(p.oid) as arguments,
       p.proname as called, (select coalesce(array_agg(t::regtype::text order by n), '{}')
                             from unnest(p.proargtypes::oid[]) with ordinality u (t, n)) as types
from pg_proc p where p.pronamespace = 'public'::regnamespace order by 1
"""


async def rights(connection: asyncpg.Connection) -> list[str]:
    """A line for each table and function on which a role of a program has any right."""
    lines: list[str] = []
    tables, functions = await connection.fetch(TABLES), await connection.fetch(FUNCTIONS)
    for role in roles.PROGRAMS:
        for table in tables:
            found = [right for verb in VERBS if (right := await _right(connection, role, table, verb))]
            lines += [f"{role}: {table['name']}: {', '.join(found)}"] if found else []
        for function in functions:
            if await connection.fetchval("select has_function_privilege($1, $2, 'execute')", role, function["name"]):
                lines.append(f"{role}: {function['name']}: execute")
    return lines


async def _right(connection: asyncpg.Connection, role: str, table: asyncpg.Record, verb: str) -> str:
    name = table["name"]
    if await connection.fetchval("select has_table_privilege($1, $2, $3)", role, name, verb):
        return verb
    if verb not in BY_COLUMN:
        return ""
    query = "select has_column_privilege($1, $2, $3, $4)"
    columns = [one for one in table["columns"] if await connection.fetchval(query, role, name, one, verb)]
    return f"{verb} ({', '.join(columns)})" if columns else ""


async def _rights(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return await rights(connection)
    finally:
        await connection.close()


def main() -> None:
    """Write the golden file."""
    with Postgres() as server:
        database = asyncio.run(server.fresh())
        GOLDEN.write_text("\n".join(asyncio.run(_rights(database.admin))) + "\n")


if __name__ == "__main__":
    main()
