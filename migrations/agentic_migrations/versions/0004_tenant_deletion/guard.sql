-- Rows of tables that no foreign key leads from to `tenants` are refused once the tenant's row is gone. It does what a
-- foreign key would do, once a statement instead of once a row, and without a write to the tenant's row, which all
-- transactions of a tenant would contend for.
--
-- Invariants: a writer holds the shared lock until its transaction ends, so that delete_tenant, which takes it exclusively
-- before it looks for remaining rows and deletes the tenant's row, sees what the writer wrote; and a writer that takes the
-- lock after that finds no tenant. Each query of a volatile function has a snapshot of its own: the lock comes first.
create function require_tenant() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    tenant constant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
begin
    if tenant is null then
        return null; -- a migration: row-level security refuses the rows of anyone else
    end if;
    perform pg_advisory_xact_lock_shared(1635149422, hashtext(tenant::text));
    if not exists (select from public.tenants t where t.tenant_id = tenant) then
        raise foreign_key_violation using
            message = format('tenant %s not found; its rows in "%s" are not kept', tenant, tg_table_name),
            table = tg_table_name, constraint = tg_table_name || '_tenant';
    end if;
    return null;
end
$$;
revoke all on function require_tenant() from public;

-- On `tenants` for the lock: the row of a tenant is not made again while a deletion ends.
create trigger require_tenant after insert on tenants for each statement execute function require_tenant();
create trigger require_tenant after insert on usage for each statement execute function require_tenant();
create trigger require_tenant after insert on run_tokens for each statement execute function require_tenant();
create trigger require_tenant after insert on audit_log for each statement execute function require_tenant();
