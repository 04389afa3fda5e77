"""The three database roles: an owner that cannot log in, a migrator that may become it, an app that owns nothing.

Whoever sets up a database as its administrator runs `create` once, before the first migration; it can be repeated.
"""

import asyncpg

OWNER = "agentic_owner"
MIGRATOR = "agentic_migrator"
APP = "agentic_app"

_CREATE = """
do $$
begin
    if not exists (select from pg_roles where rolname = '{role}') then
        create role {role};
    end if;
exception when duplicate_object or unique_violation then null;
end
$$
"""

_SETTINGS = {"jit": "off", "statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s"}
"""Bounds of the app's sessions; compiling its short queries costs more than running them."""


async def create(dsn: str, *, migrator_password: str, app_password: str) -> None:
    """Create the roles, or set their attributes again, and give the database of the DSN to the owner."""
    connection = await asyncpg.connect(dsn)
    try:
        for role in (OWNER, MIGRATOR, APP):
            await connection.execute(_CREATE.format(role=role))
        for statement in await _statements(connection, migrator_password, app_password):
            await connection.execute(statement)
    finally:
        await connection.close()


async def _statements(connection: asyncpg.Connection, migrator_password: str, app_password: str) -> list[str]:
    quoted = "select quote_literal($1), quote_literal($2), quote_ident(current_database())"
    [(migrator, app, database)] = await connection.fetch(quoted, migrator_password, app_password)
    return [
        f"alter role {OWNER} nologin nosuperuser nobypassrls nocreatedb nocreaterole",
        f"alter role {MIGRATOR} login nosuperuser nobypassrls nocreatedb nocreaterole password {migrator}",
        f"alter role {APP} login nosuperuser nobypassrls nocreatedb nocreaterole password {app}",
        f"grant {OWNER} to {MIGRATOR}",
        *(f"alter role {APP} set {name} = '{value}'" for name, value in _SETTINGS.items()),
        f"revoke all on database {database} from public",
        f"grant connect on database {database} to {MIGRATOR}, {APP}",
        f"grant create on database {database} to {OWNER}",
        f"alter schema public owner to {OWNER}",
        "revoke create on schema public from public",
    ]
