"""The database roles: an owner that cannot log in, a migrator that may become it, one for each program, with the least.

Whoever sets up a database as its administrator runs `create` once, before the first migration; it can be repeated.
"""

import asyncpg

OWNER = "agentic_owner"
MIGRATOR = "agentic_migrator"
API = "agentic_api"
GATEWAY = "agentic_gateway"
PROGRAMS = (API, GATEWAY)
"""Own nothing; what each may do is granted by the migrations."""
APP = "agentic_app"
"""The one role of all programs in versions before. Migrations name it; nobody needs to log in as it any more."""

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
"""Bounds of the programs' sessions; compiling its short queries costs more than running them."""


async def create(dsn: str, *, migrator_password: str, api_password: str, gateway_password: str) -> None:
    """Create the roles, or set their attributes again, and give the database of the DSN to the owner."""
    connection = await asyncpg.connect(dsn)
    try:
        for role in (OWNER, MIGRATOR, *PROGRAMS, APP):
            await connection.execute(_CREATE.format(role=role))
        for statement in await _statements(connection, migrator_password, api_password, gateway_password):
            await connection.execute(statement)
    finally:
        await connection.close()


async def _statements(connection: asyncpg.Connection, *passwords: str) -> list[str]:
    """`passwords` are those of the migrator, the api and the gateway."""
    quoted = "select quote_literal($1), quote_literal($2), quote_literal($3), quote_ident(current_database())"
    [(migrator, api, gateway, database)] = await connection.fetch(quoted, *passwords)
    programs = ", ".join(PROGRAMS)
    return [
        f"alter role {OWNER} nologin nosuperuser nobypassrls nocreatedb nocreaterole",
        f"alter role {MIGRATOR} login nosuperuser nobypassrls nocreatedb nocreaterole password {migrator}",
        f"alter role {API} login nosuperuser nobypassrls nocreatedb nocreaterole password {api}",
        f"alter role {GATEWAY} login nosuperuser nobypassrls nocreatedb nocreaterole password {gateway}",
        f"grant {OWNER} to {MIGRATOR}",
        *(f"alter role {role} set {name} = '{value}'" for role in PROGRAMS for name, value in _SETTINGS.items()),
        f"revoke all on database {database} from public",
        f"grant connect on database {database} to {MIGRATOR}, {programs}",
        f"grant create on database {database} to {OWNER}",
        f"alter schema public owner to {OWNER}",
        "revoke create on schema public from public",
    ]
