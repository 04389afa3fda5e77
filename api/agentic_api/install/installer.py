"""The steps of an installation, each of which may be repeated and run by several at once. `main` calls it."""

from agentic_api.install.secrets import ADMIN_KEY, API_KEYS, GENERATORS, SecretStore
from agentic_api.keys.repository import KeyRepository
from agentic_core import telemetry
from agentic_core.auth import api_keys
from agentic_core.auth.api_keys import Role
from agentic_core.db import PLATFORM_TENANT, Database, migrate
from agentic_core.errors import Invalid

log = telemetry.logger(__name__)


async def install(store: SecretStore, *, dsn: str) -> str:
    """Make what is missing: secrets, tables, the admin key's row. Returns the admin key."""
    found = {name: await store.ensure(name, generate) for name, generate in GENERATORS.items()}
    log.info("secrets are there", secrets=sorted(found))
    await migrate.upgrade(dsn)
    log.info("database is up to date")
    text = found[ADMIN_KEY].get("key", "").strip()
    await _keep_admin_key(text, pepper=found[API_KEYS].get("pepper", "").strip().encode(), dsn=dsn)
    log.info("admin key is registered")
    return text


async def _keep_admin_key(text: str, *, pepper: bytes, dsn: str) -> None:
    key = api_keys.parse(text)
    if key is None or not pepper:
        raise Invalid(
            f"Secret {ADMIN_KEY} has no API key under `key`, or Secret {API_KEYS} no `pepper`:"
            " delete that Secret to have a new one made."
        )
    database = Database(dsn, connections=1)
    try:
        async with database.session(PLATFORM_TENANT) as session:
            await KeyRepository(session).keep(key, name="installation", role=Role.PLATFORM_ADMIN, pepper=pepper)
    finally:
        await database.close()
