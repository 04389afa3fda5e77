-- The tables that hold rows of tenants, in an order in which they can be emptied: children before what they refer to, and
-- `tenants` last.
create function tenant_tables() returns setof regclass
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with recursive found as (
        select c.oid from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relforcerowsecurity
    ), heights (oid, height) as (
        select oid, 0 from found
        union
        select k.confrelid, h.height + 1
        from heights h join pg_constraint k on k.contype = 'f' and k.conrelid = h.oid and k.confrelid <> h.oid
        where h.height < 64 -- ends also where tables refer to each other in a circle
    )
    select oid::regclass from found join heights using (oid)
    group by oid
    order by oid = 'public.tenants'::regclass, max(height), oid::regclass::text
$$;

-- Deletes at most so many rows of the tenant from one table: rows that nobody has locked and that no row refers to.
-- It waits for nobody. Once a row is locked nothing new can refer to it, so the second look, with a newer snapshot, makes
-- sure that no delete cascades and none violates a foreign key.
--
-- Plans are forced, for statistics may not know a tenant: the batch is read along the primary key, which leads with the
-- tenant, and deleted by the addresses of its rows.
create function delete_rows(of_table regclass, tenant uuid, max_rows integer) returns integer
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_indexscan = on
as $$
declare
    key constant text := (
        select string_agg(format('t.%I', a.attname), ', ' order by k.place)
        from pg_index i cross join unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where i.indrelid = of_table and i.indisprimary
    );
    unreferenced constant text := coalesce((
        select string_agg(format(' and not exists (select from %s c where %s%s)', f.conrelid::regclass, (
            select string_agg(format('c.%I = t.%I', child.attname, parent.attname), ' and ')
            from unnest(f.conkey, f.confkey) as pair (child, parent)
            join pg_attribute child on child.attrelid = f.conrelid and child.attnum = pair.child
            join pg_attribute parent on parent.attrelid = f.confrelid and parent.attnum = pair.parent
        ), case when f.conrelid = f.confrelid then ' and c.ctid <> t.ctid' else '' end), '')
        from pg_constraint f where f.contype = 'f' and f.confrelid = of_table
    ), '');
    batch tid[];
    deleted integer;
begin
    execute format(
        'select array_agg(ctid) from ('
        'select t.ctid from %s t where t.tenant_id = $1%s order by %s limit $2 for update of t skip locked) as batch',
        of_table, unreferenced, key
    ) into batch using tenant, max_rows;
    perform set_config('enable_indexscan', 'off', true);
    execute format('delete from %s t where t.ctid = any ($1) and t.tenant_id = $2%s', of_table, unreferenced)
    using batch, tenant;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

-- Deletes at most so many rows of a tenant: a short transaction, to be called until it is done, by any number of
-- processes, one of which does the work at a time. Not done and nothing deleted: rows are locked, or another process
-- works; call again later. Done: no row of the tenant is left, and require_tenant and foreign keys refuse new ones.
drop function delete_tenant(uuid);
create function delete_tenant(tenant uuid, max_rows integer, out deleted integer, out done boolean)
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

revoke all on function tenant_tables(), delete_rows(regclass, uuid, integer), delete_tenant(uuid, integer) from public;
grant execute on function delete_tenant(uuid, integer) to agentic_app;

-- For replicas of the version before, which go on during an upgrade and after a rollback: all in one statement, as it was.
create function delete_tenant(tenant uuid)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    batch record;
begin
    loop
        select * into batch from public.delete_tenant(tenant, 10000);
        exit when batch.done;
        perform pg_sleep(0.05) where batch.deleted = 0; -- another replica is at it
    end loop;
end
$$;
revoke all on function delete_tenant(uuid) from public;
grant execute on function delete_tenant(uuid) to agentic_app;
