"""A network that drops every packet: a broken link that neither side notices."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from agentic_core.db import Database, faults
from agentic_core.db.notices import Notices, NoticesTiming
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE

STATEMENT = "select count(*) as found from runs where tenant_id = $1"


class Link:
    """A way to the database that can be broken."""

    def __init__(self, dsn: str) -> None:
        self._there = make_url(dsn)
        self.silent = False
        self.dsn = ""
        self._tasks = set[asyncio.Task[None]]()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator["Link"]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.dsn = self._there.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        yield self
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._there.host, self._there.port)
        for source, sink in ((reader, there[1]), (there[0], writer)):
            self._tasks.add(asyncio.create_task(self._pass(source, sink)))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.closing(sink):
            while data := await source.read(65536):
                if not self.silent:
                    sink.write(data)


@pytest.fixture
async def link(postgres: PostgresDatabase) -> AsyncGenerator[Link]:
    async with Link(postgres.programs).open() as opened:
        yield opened


@pytest.mark.parametrize("kind", ["transaction", "session"])
async def test_a_silent_database_is_unavailable_until_a_new_connection_succeeds(link: Link, kind: str) -> None:
    database = Database(link.dsn, connections=1, connect_timeout=0.5, statement_timeout=0.3)

    async def count() -> None:
        if kind == "transaction":
            async with database.transaction(uuid4()) as transaction:
                assert await transaction.fetch_one(STATEMENT)
        else:
            async with database.session(uuid4()) as session:
                assert (await session.execute(sa.text("select 1"))).all()

    async with asyncio.timeout(PATIENCE):
        await count()
        link.silent = True
        with pytest.raises(TimeoutError) as silent:
            await count()
        assert faults.is_unavailable(silent.value)
        link.silent = False
        await count()
    await database.close()


async def test_a_message_into_silence_is_lost_and_the_connection_made_anew(link: Link) -> None:
    received = asyncio.Queue[str]()
    timing = NoticesTiming(send=0.3, reconnect=0.05)
    channel = Notices(link.dsn, "test_silence", on_message=received.put_nowait, timing=timing)
    async with channel.listening():
        await _send_until_received(channel, "first", received)
        link.silent = True
        async with asyncio.timeout(5):
            await channel.send("lost")
        link.silent = False
        await _send_until_received(channel, "second", received)


async def _send_until_received(channel: Notices, text: str, received: "asyncio.Queue[str]") -> None:
    async with asyncio.timeout(20):
        while True:
            await channel.send(text)
            with contextlib.suppress(TimeoutError):
                if await asyncio.wait_for(received.get(), 0.1) == text:
                    return
