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
    delete from public.audit_log where tenant_id = tenant;
    delete from public.tenants where tenant_id = tenant;
    perform set_config('app.tenant_id', '', true);
end
$$;

revoke all on function
    authenticate_key(text), expired_runs(integer), extend_leases(uuid, uuid[], double precision), delete_tenant(uuid)
from public;
grant execute on function
    authenticate_key(text), expired_runs(integer), extend_leases(uuid, uuid[], double precision), delete_tenant(uuid)
to agentic_app;
