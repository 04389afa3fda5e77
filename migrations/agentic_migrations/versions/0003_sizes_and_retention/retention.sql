-- Deletes events of runs that ended before a time (an hour ago or earlier), with the idempotency keys and token counts of
-- these runs; at most so many events.
-- Ids of runs begin with the time, so that the oldest of a tenant are found at the start of its part of the index.
create function expire_events(ended_before timestamptz, most integer)
returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    cutoff constant timestamptz := least(ended_before, now() - interval '1 hour');
    newest constant uuid := lpad(to_hex((extract(epoch from cutoff) * 1000)::bigint), 12, '0') || repeat('f', 20);
    tenant uuid;
    deleted integer := 0;
    found_now integer;
begin
    if not pg_try_advisory_xact_lock(7018969077711006313) then
        return 0; -- another replica is at it
    end if;
    for tenant in select t.tenant_id from public.tenants t order by t.tenant_id loop
        perform set_config('app.tenant_id', tenant::text, true);
        with old as (
            select e.run_id, e.seq
            from public.run_events e
            join public.runs r on r.tenant_id = e.tenant_id and r.id = e.run_id
            where e.tenant_id = tenant and e.run_id <= newest and r.finished_at < cutoff
            order by e.run_id, e.seq
            limit most - deleted
            for update of e skip locked
        ), gone as (
            delete from public.run_events e using old
            where e.tenant_id = tenant and e.run_id = old.run_id and e.seq = old.seq
            returning e.run_id
        ), forgotten as (
            update public.runs r set idempotency_key = null, fingerprint = null
            where r.tenant_id = tenant and r.idempotency_key is not null and r.id in (select g.run_id from gone g)
        ), uncounted as (
            delete from public.run_tokens c
            where c.tenant_id = tenant and c.run_id in (select g.run_id from gone g)
        )
        select count(*) into found_now from gone;
        deleted := deleted + found_now;
        exit when deleted >= most;
    end loop;
    perform set_config('app.tenant_id', '', true);
    return deleted;
end
$$;

revoke all on function expire_events(timestamptz, integer) from public;
grant execute on function expire_events(timestamptz, integer) to agentic_app;
