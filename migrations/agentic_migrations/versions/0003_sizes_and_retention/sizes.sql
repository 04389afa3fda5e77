-- How large a compressed jsonb is, PostgreSQL knows only by unpacking it; of a text it knows.
alter table messages
    add column size integer not null generated always as (octet_length(content) + octet_length(tool_calls::text)) stored;
alter table run_events alter column payload drop default;
alter table run_events alter column payload type text using payload::text;
alter table run_events alter column payload set default '{}';
