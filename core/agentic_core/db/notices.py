"""Short messages between processes on the same database (LISTEN/NOTIFY); replicas of the api send them.

Delivery is not guaranteed: what a message triggers also happens without it, only later. Messages need a connection of
their own, so they do not pass a pooler in transaction mode.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from agentic_core import tasks, telemetry
from agentic_core.db import faults

log = telemetry.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class NoticesTiming:
    """Seconds."""

    send: float = 5.0
    """How long sending may take; after that the connection counts as lost and is opened again."""
    reconnect: float = 1.0
    """Pause before a lost connection is opened again."""


class Notices:
    """Sends and receives the messages of one channel."""

    def __init__(
        self, dsn: str, channel: str, *, on_message: Callable[[str], None], timing: NoticesTiming | None = None
    ) -> None:
        self._dsn = dsn
        self._channel = channel
        self._on_message = on_message
        self._timing = timing or NoticesTiming()
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Receive messages inside the block, reconnecting when the connection is lost."""
        async with tasks.background(self._listen()):
            yield

    async def send(self, text: str) -> None:
        """Send to every process that listens, this one included. Lost while the connection is down."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with asyncio.timeout(self._timing.send), self._lock:
                await connection.execute("select pg_notify($1, $2)", self._channel, text)
        except TimeoutError:
            connection.terminate()
        except Exception as error:
            if not faults.is_unavailable(error):
                raise

    async def _listen(self) -> None:
        while True:
            try:
                await self._receive_until_lost()
            except Exception as error:
                if not faults.is_unavailable(error):
                    raise
                log.warning("notices connection lost", error=type(error).__name__)
            await asyncio.sleep(self._timing.reconnect)

    async def _receive_until_lost(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(self._channel, lambda _c, _pid, _channel, text: self._on_message(str(text)))
            self._connection = connection
            await lost.wait()
        finally:
            self._connection = None
            connection.terminate()
