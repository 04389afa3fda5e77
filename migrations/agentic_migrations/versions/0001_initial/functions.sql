-- Each runs as the owner with a pinned search path, and answers one question that spans tenants.

create function authenticate_key(key_id text)
returns table (tenant_id uuid, tenant text, role text, hash bytea, expires_at timestamptz, revoked_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select k.tenant_id, t.name, k.role, k.hash, k.expires_at, k.revoked_at
    from public.api_keys k join public.tenants t on t.tenant_id = k.tenant_id
    where k.id = key_id
$$;

create function expired_runs(most integer)
returns table (tenant_id uuid, run_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select r.tenant_id, r.id
    from public.runs r
    where r.status = 'running' and r.lease_expires_at < now()
    order by r.lease_expires_at
    limit least(most, 1000)
$$;

create function extend_leases(replica uuid, run_ids uuid[], seconds double precision)
returns table (run_id uuid, cancel_requested boolean)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update public.runs r
    set lease_expires_at = now() + make_interval(secs => least(extend_leases.seconds, 60))
    where r.status = 'running' and r.replica = extend_leases.replica and r.id = any (run_ids)
    returning r.id, r.cancel_requested
$$;

create function delete_tenant(tenant uuid)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tenant = '00000000-0000-0000-0000-000000000000' then
        raise exception 'the platform''s own tenant cannot be deleted';
    end if;
    perform set_config('app.tenant_id', tenant::text, true);
    delete from public.tool_executions where tenant_id = tenant;
    delete from public.run_events where tenant_id = tenant;
    delete from public.runs where tenant_id = tenant;
    delete from public.messages where tenant_id = tenant;
    delete from public.conversations where tenant_id = tenant;
    delete from public.agents where tenant_id = tenant;
    delete from public.api_keys where tenant_id = tenant;
    delete from public.usage where tenant_id = tenant;
    delete from public.run_tokens where tenant_id = tenant;
    delete from public.audit_log where tenant_id = tenant;
    delete from public.tenants where tenant_id = tenant;
    perform set_config('app.tenant_id', '', true);
end
$$;

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

revoke all on function
    authenticate_key(text), expired_runs(integer), extend_leases(uuid, uuid[], double precision), delete_tenant(uuid),
    expire_events(timestamptz, integer)
from public;
grant execute on function
    authenticate_key(text), expired_runs(integer), extend_leases(uuid, uuid[], double precision), delete_tenant(uuid),
    expire_events(timestamptz, integer)
to agentic_app;
