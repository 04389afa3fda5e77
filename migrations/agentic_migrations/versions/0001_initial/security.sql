-- Row-level security binds the owner too. The sub-select makes PostgreSQL read the setting once a query.
do $$
declare
    name text;
begin
    foreach name in array array[
        'tenants', 'agents', 'conversations', 'messages', 'runs', 'run_events', 'tool_executions', 'api_keys', 'usage',
        'audit_log'
    ] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy tenant on %I'
            ' using (tenant_id = (select nullif(current_setting(''app.tenant_id'', true), '''')::uuid))'
            ' with check (tenant_id = (select nullif(current_setting(''app.tenant_id'', true), '''')::uuid))',
            name
        );
    end loop;
end
$$;

-- What the functions that span tenants need as the owner, and no more.
create policy authentication on api_keys for select to agentic_owner using (true);
create policy authentication on tenants for select to agentic_owner using (true);
create policy leases on runs for select to agentic_owner using (status = 'running');
create policy lease_extension on runs for update to agentic_owner using (status = 'running') with check (status = 'running');

grant usage on schema public to agentic_app;
grant select, insert, update on tenants, agents, runs, api_keys to agentic_app;
grant select, insert, update, delete on conversations to agentic_app;
grant select, insert on messages, run_events, tool_executions, usage, audit_log to agentic_app;

-- Keys of the platform's administrators belong to this tenant.
select set_config('app.tenant_id', '00000000-0000-0000-0000-000000000000', true);
insert into tenants (tenant_id, name) values ('00000000-0000-0000-0000-000000000000', '');
