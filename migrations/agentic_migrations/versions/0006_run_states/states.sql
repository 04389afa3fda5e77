-- The statuses are those of agentic_api.runs.states. Constraints are validated afterwards, under a lock that lets runs go on.
-- All of it can be repeated, since the part that follows is not in this transaction.
alter table runs
    add column if not exists parent_run_id uuid,
    alter column replica drop not null,
    drop constraint if exists runs_status_known,
    drop constraint if exists runs_finished,
    drop constraint if exists runs_leased,
    drop constraint if exists runs_paused,
    drop constraint if exists runs_parent;
alter table runs
    add constraint runs_status_known check (
        status in (
            'queued', 'running', 'waiting', 'outcome_unknown', 'succeeded', 'failed', 'cancelled', 'interrupted'
        )
    ) not valid,
    add constraint runs_finished check (
        (status in ('queued', 'running', 'waiting', 'outcome_unknown')) = (finished_at is null)
    ) not valid,
    add constraint runs_leased check (status not in ('running') or replica is not null) not valid,
    add constraint runs_paused check (
        status not in ('queued', 'waiting', 'outcome_unknown') or (replica is null and lease_expires_at is null)
    ) not valid,
    add constraint runs_parent foreign key (tenant_id, parent_run_id) references runs
        on delete set null (parent_run_id) not valid;
