-- `digest` covers the key's id, tenant and role besides the secret, so that it is worth nothing in another row. Keys
-- without one are those of versions before: nothing reads `hash` any more but replicas of these versions.
alter table api_keys add column digest bytea, alter column hash set default '';

create function find_api_key(key_id text)
returns table (tenant_id uuid, tenant text, role text, digest bytea, expires_at timestamptz, revoked_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select k.tenant_id, t.name, k.role, k.digest, k.expires_at, k.revoked_at
    from public.api_keys k join public.tenants t on t.tenant_id = k.tenant_id
    where k.id = key_id and k.digest is not null and t.deleted_at is null
$$;
