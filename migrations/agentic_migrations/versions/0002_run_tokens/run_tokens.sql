-- A run may make thousands of calls: its sum is kept, not counted anew with each of them. No foreign key: usage is
-- appended also for a run whose conversation has just been deleted.
create table run_tokens (
    tenant_id uuid not null,
    run_id uuid not null,
    tokens bigint not null,
    primary key (tenant_id, run_id)
);

alter table usage no force row level security;
insert into run_tokens (tenant_id, run_id, tokens)
select u.tenant_id, u.run_id, sum(u.input_tokens::bigint + u.output_tokens)
from runs r join usage u on u.tenant_id = r.tenant_id and u.run_id = r.id
where r.status = 'running'
group by u.tenant_id, u.run_id;
alter table usage force row level security;

alter table run_tokens enable row level security;
alter table run_tokens force row level security;
create policy tenant on run_tokens
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid))
    with check (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
grant select, insert, update on run_tokens to agentic_app;

create or replace function delete_tenant(tenant uuid)
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
