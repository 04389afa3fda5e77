"""The SQL of a run's two transactions and of what lies between; each is one statement, since a run pays for each.

The journal executes it. A statement that changes a status names the statuses that may precede, from `runs.states`.
"""

from typing import Final

from agentic_api.runs.states import LEASED, TERMINAL


def _statuses(statuses: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{status}'" for status in statuses) + ")"


BEGIN_NEW: Final = """
with agent as (
    insert into agents (tenant_id, id, namespace, name)
    values ($1::uuid, $4::uuid, $5::text, $6::text)
    on conflict do nothing
), conversation as (
    insert into conversations (tenant_id, id, agent_id, message_count)
    values ($1, $3::uuid, $4, cardinality($14::text[]))
), added as (
    insert into messages (tenant_id, conversation_id, position, run_id, role, content)
    select $1, $3, m.n - 1, $2::uuid, m.role, m.content
    from unnest($14::text[], $15::text[]) with ordinality m (role, content, n)
)
insert into runs (
    tenant_id, id, conversation_id, namespace, agent, revision, metadata, trace_id, replica, lease_expires_at,
    idempotency_key, fingerprint, first_position, status, parent_run_id
) values (
    $1, $2, $3, $5, $6, $7::text, $8::text::jsonb, $9::text, $10::uuid,
    now() + make_interval(secs => $11::double precision), $12::text, $13::bytea, 0, $16::text, $17::uuid
)
returning created_at
"""

BEGIN_CONTINUED: Final = """
with conversation as (
    update conversations set message_count = message_count + cardinality($14::text[]), updated_at = now()
    where tenant_id = $1::uuid and id = $3::uuid and agent_id = $4::uuid
    returning message_count - cardinality($14::text[]) as first_position
), added as (
    insert into messages (tenant_id, conversation_id, position, run_id, role, content)
    select $1, $3, c.first_position + m.n - 1, $2::uuid, m.role, m.content
    from conversation c, unnest($14::text[], $15::text[]) with ordinality m (role, content, n)
)
insert into runs (
    tenant_id, id, conversation_id, namespace, agent, revision, metadata, trace_id, replica, lease_expires_at,
    idempotency_key, fingerprint, first_position, status, parent_run_id
)
select
    $1, $2, $3, $5::text, $6::text, $7::text, $8::text::jsonb, $9::text, $10::uuid,
    now() + make_interval(secs => $11::double precision), $12::text, $13::bytea, c.first_position, $16::text, $17::uuid
from conversation c
returning created_at
"""

RECORD: Final = f"""
with held as (
    select from runs
    where tenant_id = $1::uuid and id = $2::uuid and status in {_statuses(LEASED)} and replica = $3::uuid
    for share
), events as (
    insert into run_events (tenant_id, run_id, seq, type, payload)
    select $1, $2, e.seq, e.type, e.payload
    from held, unnest($4::int[], $5::text[], $6::text[]) e (seq, type, payload)
    on conflict do nothing
)
select count(*) as held from held
"""  # noqa: S608 - names of statuses
"""The share lock makes it wait for a transaction that closes the run, and then find that it is closed."""

CLOSE: Final = """
with closed as (
    update runs
    set status = $5::text, output = $6::text, error_code = $7::text, error_message = $8::text, last_seq = $9::int,
        finished_at = now(), replica = $4::uuid, lease_expires_at = null
    where tenant_id = $1::uuid and id = $2::uuid and status = any($24::text[]) and replica is not distinct from $3::uuid
    returning conversation_id, finished_at
), events as (
    insert into run_events (tenant_id, run_id, seq, type, payload)
    select $1, $2, e.seq, e.type, e.payload
    from closed, unnest($10::int[], $11::text[], $12::text[]) e (seq, type, payload)
    on conflict do nothing
), conversation as (
    update conversations c set message_count = c.message_count + cardinality($13::text[]), updated_at = now()
    from closed where c.tenant_id = $1 and c.id = closed.conversation_id
    returning c.id, c.message_count - cardinality($13::text[]) as first_position
), added as (
    insert into messages (
        tenant_id, conversation_id, position, run_id, role, content, tool_calls, tool_call_id, is_error
    )
    select $1, c.id, c.first_position + m.n - 1, $2, m.role, m.content, m.tool_calls::jsonb, m.call_id, m.is_error
    from conversation c, unnest($13::text[], $14::text[], $15::text[], $16::text[], $17::bool[])
        with ordinality m (role, content, tool_calls, call_id, is_error, n)
), tools as (
    insert into tool_executions (
        tenant_id, run_id, position, call_id, name, arguments, result, is_error, duration_ms
    )
    select $1, $2, t.n - 1, t.call_id, t.name, t.arguments::jsonb, t.result, t.is_error, t.duration_ms
    from closed, unnest($18::text[], $19::text[], $20::text[], $21::text[], $22::bool[], $23::int[])
        with ordinality t (call_id, name, arguments, result, is_error, duration_ms, n)
)
select
    closed.finished_at, coalesce(sum(u.input_tokens), 0) as input_tokens,
    coalesce(sum(u.output_tokens), 0) as output_tokens, coalesce(sum(u.cost), 0) as cost
from closed left join usage u on u.tenant_id = $1 and u.run_id = $2
group by closed.finished_at
"""

MOVE: Final = """
update runs
set status = $3::text, replica = $5::uuid,
    lease_expires_at = case when $5 is not null then now() + make_interval(secs => $6::double precision) end,
    last_seq = greatest(
        last_seq, (select max(e.seq) from run_events e where e.tenant_id = $1::uuid and e.run_id = $2::uuid)
    )
where tenant_id = $1 and id = $2 and status = any($7::text[]) and replica is not distinct from $4::uuid
    and not cancel_requested
returning id
"""
"""Only the holder adds events, before it moves the run: so this snapshot has the last of them, and whoever cancels the
run next finds its number in the row."""

CLOSED_BY: Final = f"""
select
    r.finished_at, coalesce(sum(u.input_tokens), 0) as input_tokens,
    coalesce(sum(u.output_tokens), 0) as output_tokens, coalesce(sum(u.cost), 0) as cost
from runs r left join usage u on u.tenant_id = $1 and u.run_id = $2
where r.tenant_id = $1::uuid and r.id = $2::uuid and r.status in {_statuses(TERMINAL)} and r.replica = $3::uuid
group by r.finished_at
"""  # noqa: S608 - names of statuses

CLAIM_EXPIRED: Final = f"""
with expired as (
    select id from runs
    where tenant_id = $1::uuid and id = $2::uuid and status in {_statuses(LEASED)} and lease_expires_at < now()
    for update skip locked
)
update runs r
set replica = $3::uuid, lease_expires_at = now() + make_interval(secs => $4::double precision), sweeps = r.sweeps + 1
from expired where r.tenant_id = $1 and r.id = expired.id
returning r.sweeps
"""  # noqa: S608 - names of statuses

LAST_EVENT: Final = """
select seq from run_events where tenant_id = $1::uuid and run_id = $2::uuid order by seq desc limit 1
"""

LOCK_CONVERSATION: Final = """
select agent_id from conversations where tenant_id = $1::uuid and id = $2::uuid for update
"""

IN_PROGRESS_IN: Final = """
select id from runs where tenant_id = $1::uuid and conversation_id = $2::uuid and finished_at is null
"""

HISTORY: Final = """
with latest as (
    select position, size from messages
    where tenant_id = $1::uuid and conversation_id = $2::uuid
    order by position desc limit $3::int
), counted as (
    select position, sum(size) over (order by position desc) as size from latest
)
select m.role, m.content, m.tool_calls::text as tool_calls, m.tool_call_id, m.is_error
from counted join messages m on m.tenant_id = $1 and m.conversation_id = $2 and m.position = counted.position
where counted.size <= $4::bigint
order by m.position desc
"""
"""The sizes are looked up before the texts are: a runtime may have sent gigabytes."""

BY_KEY: Final = """
select id, fingerprint from runs where tenant_id = $1::uuid and idempotency_key = $2::text
"""

EVENTS: Final = """
with following as (
    select seq, octet_length(payload) as size from run_events
    where tenant_id = $1::uuid and run_id = $2::uuid and seq > $3::int order by seq limit $4::int
), counted as (
    select seq, sum(size) over (order by seq) - size as before from following
)
select e.seq, e.type, e.payload
from counted join run_events e on e.tenant_id = $1 and e.run_id = $2 and e.seq = counted.seq
where counted.before < $5::bigint
order by e.seq
"""

CANCEL_REQUESTED: Final = "select cancel_requested from runs where tenant_id = $1::uuid and id = $2::uuid"

PROGRESS: Final = "select status, last_seq from runs where tenant_id = $1::uuid and id = $2::uuid"
