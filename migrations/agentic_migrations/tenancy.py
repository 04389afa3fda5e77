"""What makes a table one of tenants: forced row-level security, the tenant's policy, grants; the versions call it.

Versions that have landed call it too, so what it does to a table never changes; a new need is a new argument.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import sqlalchemy as sa

TENANT = "(select nullif(current_setting('app.tenant_id', true), '')::uuid)"
"""The transaction's tenant, in a sub-select, so that PostgreSQL reads the setting once a query and not once a row."""
APP = "agentic_app"
PROGRAMS = ("agentic_api", "agentic_gateway")

_KEY = """
select coalesce((
    select a.attname = 'tenant_id' from pg_index i
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = cast(:name as regclass) and i.indisprimary
), false)
"""
_REFERS = """
select exists (
    select from pg_constraint f join pg_attribute a on a.attrelid = f.conrelid and a.attnum = any (f.conkey)
    where f.conrelid = cast(:name as regclass) and f.contype = 'f' and f.confrelid <> f.conrelid
    and a.attname = 'tenant_id' and a.attnotnull
    and not exists (
        select from pg_attribute n where n.attrelid = f.conrelid and n.attnum = any (f.conkey) and not n.attnotnull
    )
)
"""


def tenant_table(
    connection: sa.Connection,
    name: str,
    *,
    grants: Sequence[str] = (),
    to: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Keep the rows of a table that has just been created, foreign keys included, apart by tenant.

    `to` is what each program may do, by its role, as GRANT spells it; `grants` what the one role of the first versions
    may. The primary key leads with `tenant_id`.
    A table whose foreign keys do not make sure that its rows' tenant exists gets a trigger that does. The rows are
    deleted with their tenant.
    """
    if not connection.execute(sa.text(_KEY), {"name": name}).scalar_one():
        raise ValueError(f'The primary key of table "{name}" must lead with tenant_id.')
    refers = connection.execute(sa.text(_REFERS), {"name": name}).scalar_one()
    if unknown := to.keys() - set(PROGRAMS):
        raise ValueError(f"These are no roles of programs: {', '.join(sorted(unknown))}.")
    for statement in _statements(name, {APP: grants, **to}, guarded=not refers):
        connection.exec_driver_sql(statement)


def _statements(name: str, grants: Mapping[str, Sequence[str]], *, guarded: bool) -> list[str]:
    statements = [
        f"alter table {name} enable row level security",
        f"alter table {name} force row level security",
        f"create policy tenant on {name} using (tenant_id = {TENANT}) with check (tenant_id = {TENANT})",
    ]
    statements += [f"grant {', '.join(rights)} on {name} to {role}" for role, rights in grants.items() if rights]
    if guarded:
        statements.append(
            f"create trigger require_tenant after insert on {name} for each statement execute function require_tenant()"
        )
    return statements
