"""Which errors mean that the database is away for a moment, and how to wait for it; writers that must not fail ask."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")

AWAY_CLASSES = ("08", "53", "57")
"""Classes of SQLSTATE: connection lost, out of resources, shutting down or starting up."""


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached or ended the connection, so that trying again makes sense."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _sqlstate(error.orig).startswith(AWAY_CLASSES)
    if isinstance(error, asyncpg.PostgresError):
        return _sqlstate(error).startswith(AWAY_CLASSES)
    return isinstance(error, OSError | TimeoutError | PoolTimeout | asyncpg.InterfaceError)


def _sqlstate(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""


def violated(error: BaseException) -> str:
    """Name of the constraint that a write broke; empty when it is another error."""
    cause = getattr(error.orig, "__cause__", None) if isinstance(error, IntegrityError) else error
    return getattr(cause, "constraint_name", None) or ""


async def patiently(action: Callable[[], Awaitable[T]], *, seconds: float) -> T:
    """Do it, again and again while the database is away, for `seconds` at most. The action must bear being repeated."""
    deadline = time.monotonic() + seconds
    pause = 0.05
    while True:
        try:
            return await action()
        except Exception as error:
            if not is_away(error) or time.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, 1.0)
