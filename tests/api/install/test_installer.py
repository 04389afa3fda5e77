"""Installing: secrets, tables and the first admin key, made once however often and by however many it is done."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentic_api.install.installer import install
from agentic_api.install.secrets import ADMIN_KEY, API_KEYS, RUN_TOKENS, ClusterStore, FolderStore
from agentic_core.auth import api_keys, run_tokens
from agentic_core.cluster.kinds import SECRET
from agentic_core.db import PLATFORM_TENANT, Database, functions
from tests.api.harness import World
from tests.requirements import requirement
from tests.support.postgres import Postgres, PostgresDatabase


@requirement("secrets")
async def test_installers_at_once_agree_on_the_secrets_in_the_cluster(
    postgres_server: Postgres, world: World, namespace: str
) -> None:
    empty = await postgres_server.fresh(migrated=False)
    store = ClusterStore(world.cluster, namespace)
    keys = await asyncio.gather(*(install(store, dsn=empty.migrator) for _ in range(3)))
    assert len(set(keys)) == 1
    parsed = api_keys.parse(keys[0])
    assert parsed is not None
    for name in (RUN_TOKENS, API_KEYS, ADMIN_KEY):
        assert await world.cluster.get(SECRET.ref(name, namespace)) is not None
    pepper = (await store.ensure(API_KEYS, dict))["pepper"].encode()
    database = Database(empty.api)
    record = await functions.find_api_key(database, parsed.id)
    await database.close()
    assert record is not None
    assert record.tenant_id == PLATFORM_TENANT
    assert api_keys.matches(parsed, record.digest, tenant_id=PLATFORM_TENANT, role="platform-admin", pepper=pepper)
    pems = await store.ensure(RUN_TOKENS, dict)
    assert run_tokens.private_key(pems["private.pem"]).public_key() == run_tokens.public_keys(pems["public.pem"])[0]
    await postgres_server.drop(empty)


async def test_again_with_a_new_database(postgres_server: Postgres, tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        empty = await postgres_server.fresh(migrated=False)
        keys.add(await install(FolderStore(tmp_path), dsn=empty.migrator))
        await postgres_server.drop(empty)
    assert len(keys) == 1
    assert modes(tmp_path) == {0o600}


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_program_prints_the_admin_key_once_and_logs_it_nowhere(postgres: PostgresDatabase, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("agentic-api")
    environment = os.environ | {"AGENTIC_MIGRATOR_DSN": postgres.migrator}
    migrated = subprocess.run([program, "migrate"], env=environment, check=True, capture_output=True, text=True)
    assert migrated.stdout == ""
    installed = subprocess.run(
        [program, "install", "--folder", tmp_path], env=environment, check=True, capture_output=True, text=True
    )
    assert installed.stdout.strip() == (tmp_path / ADMIN_KEY / "key").read_text()
    assert installed.stdout.strip() not in installed.stderr
