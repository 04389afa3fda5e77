-- Rows of a tenant can be deleted only once it is marked, in a transaction of its own. The mark cannot be taken off. It
-- waits for nobody: where the row is locked, another process marks it, or deletes it.
alter table tenants add column deleted_at timestamptz;

create function mark_tenant_deleted(tenant uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tenant = '00000000-0000-0000-0000-000000000000' then
        raise exception 'the platform''s own tenant cannot be deleted';
    end if;
    perform set_config('app.tenant_id', tenant::text, true);
    update public.tenants set deleted_at = now() where tenant_id = (
        select t.tenant_id from public.tenants t where t.tenant_id = tenant and t.deleted_at is null
        for update skip locked
    );
    perform set_config('app.tenant_id', '', true);
end
$$;

-- As before, but for the mark. `now()` is when the transaction began, so that one that sets the mark deletes nothing.
create or replace function delete_tenant(tenant uuid, max_rows integer, out deleted integer, out done boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    bound constant integer := least(max_rows, 10000);
    name regclass;
    remaining boolean := false;
begin
    if tenant = '00000000-0000-0000-0000-000000000000' then
        raise exception 'the platform''s own tenant cannot be deleted';
    end if;
    deleted := 0;
    done := false;
    if not pg_try_advisory_xact_lock(1684368244, hashtext(tenant::text)) then
        return;
    end if;
    perform set_config('app.tenant_id', tenant::text, true);
    if exists (
        select from public.tenants t where t.tenant_id = tenant and (t.deleted_at is null or t.deleted_at >= now())
    ) then
        raise object_not_in_prerequisite_state using
            message = format('tenant %s is not marked as deleted; its rows are kept', tenant);
    end if;
    for name in select public.tenant_tables() loop
        exit when deleted >= bound or name = 'public.tenants'::regclass;
        deleted := deleted + public.delete_rows(name, tenant, bound - deleted);
    end loop;
    if deleted < bound and pg_try_advisory_xact_lock(1635149422, hashtext(tenant::text)) then
        for name in select public.tenant_tables() loop
            if name = 'public.tenants'::regclass and not remaining then
                deleted := deleted + public.delete_rows(name, tenant, 1);
            end if;
            execute format('select $2 or exists (select from %s where tenant_id = $1)', name)
            into remaining using tenant, remaining;
        end loop;
        done := not remaining;
    end if;
    perform set_config('app.tenant_id', '', true);
end
$$;
