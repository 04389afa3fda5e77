-- Each primary key and index leads with tenant_id. Only agents and keys refer to tenants: every conversation hangs on an
-- agent, so that no row can outlive its tenant, and the rows written for each run do not all lock the tenant's row.

create table tenants (
    tenant_id uuid primary key,
    name text not null,
    created_at timestamptz not null default now()
);

create table agents (
    tenant_id uuid not null references tenants,
    id uuid not null,
    namespace text not null,
    name text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint agents_name unique (tenant_id, namespace, name)
);

create table conversations (
    tenant_id uuid not null,
    id uuid not null,
    agent_id uuid not null,
    message_count integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, agent_id) references agents
);
create index conversations_agent on conversations (tenant_id, agent_id, id);

create table messages (
    tenant_id uuid not null,
    conversation_id uuid not null,
    position integer not null,
    run_id uuid not null,
    role text not null,
    content text not null,
    tool_calls jsonb not null default '[]',
    tool_call_id text,
    is_error boolean not null default false,
    created_at timestamptz not null default now(),
    primary key (tenant_id, conversation_id, position),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade
);

create table runs (
    tenant_id uuid not null,
    id uuid not null,
    conversation_id uuid not null,
    namespace text not null,
    agent text not null,
    revision text not null,
    status text not null default 'running',
    output text not null default '',
    error_code text,
    error_message text,
    trace_id text not null default '',
    metadata jsonb not null default '{}',
    first_position integer not null default 0,
    last_seq integer not null default 0,
    idempotency_key text,
    fingerprint bytea,
    replica uuid not null,
    lease_expires_at timestamptz,
    cancel_requested boolean not null default false,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, conversation_id) references conversations on delete cascade,
    constraint runs_status_known check (status in ('running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    constraint runs_finished check ((status = 'running') = (finished_at is null))
);
create index runs_conversation on runs (tenant_id, conversation_id, id);
create index runs_agent on runs (tenant_id, namespace, agent, id);
create unique index runs_one_running on runs (tenant_id, conversation_id) where status = 'running';
create index runs_leases on runs (tenant_id, lease_expires_at) where status = 'running';
create unique index runs_idempotency on runs (tenant_id, idempotency_key) where idempotency_key is not null;

create table run_events (
    tenant_id uuid not null,
    run_id uuid not null,
    seq integer not null,
    type text not null,
    payload jsonb not null default '{}',
    primary key (tenant_id, run_id, seq),
    foreign key (tenant_id, run_id) references runs on delete cascade
);

create table tool_executions (
    tenant_id uuid not null,
    run_id uuid not null,
    position integer not null,
    call_id text not null,
    name text not null,
    arguments jsonb not null default '{}',
    result text,
    is_error boolean not null default false,
    duration_ms integer not null default 0,
    primary key (tenant_id, run_id, position),
    foreign key (tenant_id, run_id) references runs on delete cascade
);

create table api_keys (
    tenant_id uuid not null references tenants,
    id text not null,
    name text not null,
    role text not null,
    hash bytea not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    primary key (tenant_id, id)
);
-- The one index without the tenant: a presented key names its id before anyone knows whose it is.
create unique index api_keys_id on api_keys (id);

create table usage (
    tenant_id uuid not null,
    id uuid not null,
    run_id uuid not null,
    provider text not null,
    model text not null,
    operation text not null default 'chat',
    input_tokens integer not null default 0,
    output_tokens integer not null default 0,
    cost numeric(18, 9) not null default 0,
    estimated boolean not null default false,
    status text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index usage_run on usage (tenant_id, run_id);

create table audit_log (
    tenant_id uuid not null,
    id uuid not null,
    actor text not null,
    action text not null,
    target text not null,
    details jsonb not null default '{}',
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
