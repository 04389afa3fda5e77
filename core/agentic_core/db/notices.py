"""Short messages between processes on the same database (LISTEN/NOTIFY); what they hurry also happens without them.

They need a connection of their own, so they do not pass a pooler in transaction mode.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import asyncpg

from agentic_core import telemetry
from agentic_core.db import faults

RECONNECT_SECONDS = 1.0
SEND_SECONDS = 5.0
"""How long a message may take; then the connection is taken for dead, and opened anew."""
log = telemetry.logger(__name__)


class Notices:
    """Sends to and hears one channel."""

    def __init__(self, dsn: str, channel: str, hear: Callable[[str], None]) -> None:
        self._dsn = dsn
        self._channel = channel
        self._hear = hear
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Hear the channel inside the block, reconnecting when the connection is lost."""
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def send(self, text: str) -> None:
        """Tell everyone who listens, this process included. Lost while the connection is down."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with asyncio.timeout(SEND_SECONDS), self._lock:
                await connection.execute("select pg_notify($1, $2)", self._channel, text)
        except TimeoutError:
            connection.terminate()
        except Exception as error:
            if not faults.is_away(error):
                raise

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear_until_lost()
            except Exception as error:
                if not faults.is_away(error):
                    raise
                log.warning("notices_lost", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear_until_lost(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(self._channel, lambda _c, _pid, _channel, text: self._hear(str(text)))
            self._connection = connection
            await lost.wait()
        finally:
            self._connection = None
            connection.terminate()
