-- All that each program may do; tests/data/database-rights-golden.txt has the sum.
revoke all on function mark_tenant_deleted(uuid), find_api_key(text) from public;
grant usage on schema public to agentic_api, agentic_gateway;

-- The api: identity, runs and what was said, one tenant at a time; the functions that span tenants.
grant select, insert (tenant_id, name) on tenants to agentic_api;
grant select, insert on agents, messages, run_events, tool_executions, audit_log to agentic_api;
grant select, insert, update, delete on conversations to agentic_api;
grant select, insert, update on runs to agentic_api;
grant select (tenant_id, id, name, role, created_at, expires_at, revoked_at) on api_keys to agentic_api;
grant insert (tenant_id, id, name, role, digest, expires_at), update (revoked_at) on api_keys to agentic_api;
grant select on usage to agentic_api;
grant execute on function
    find_api_key(text), expired_runs(integer), extend_leases(uuid, uuid[], double precision),
    expire_events(timestamptz, integer), mark_tenant_deleted(uuid), delete_tenant(uuid, integer)
to agentic_api;

-- The gateway: appends usage, and sees of a run whether it goes on and how many tokens it has used. Nothing that was said,
-- no key, no function.
grant select (tenant_id) on tenants to agentic_gateway;
grant select (tenant_id, id, status, cancel_requested) on runs to agentic_gateway;
grant select (tenant_id, run_id, input_tokens, output_tokens), insert on usage to agentic_gateway;
grant select, insert, update (tokens) on run_tokens to agentic_gateway;
grant insert on usage_dead_letters to agentic_gateway;
