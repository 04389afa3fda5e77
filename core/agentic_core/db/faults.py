"""Which errors mean that the database is unavailable for a moment, and how to retry meanwhile.

Writers whose rows must not be lost retry; loops and the edge decide by it what to log and which status to return.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agentic_core.backoff import Backoff

T = TypeVar("T")

UNAVAILABLE_CLASSES = ("08", "53", "57")
"""Classes of SQLSTATE: connection lost, out of resources, shutting down or starting up."""

RETRY = Backoff(first=0.05, longest=1.0)


def is_unavailable(error: BaseException) -> bool:
    """Whether the database could not be reached or ended the connection, so that trying again makes sense."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _sqlstate(error.orig).startswith(UNAVAILABLE_CLASSES)
    if isinstance(error, asyncpg.PostgresError):
        return _sqlstate(error).startswith(UNAVAILABLE_CLASSES)
    return isinstance(error, OSError | TimeoutError | PoolTimeout | asyncpg.InterfaceError)


def is_timeout(error: DBAPIError) -> bool:
    """Whether the database ended the statement because it took too long."""
    return _sqlstate(error.orig) == "57014"


def _sqlstate(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""


def violated(error: BaseException) -> str:
    """Name of the constraint that a write broke; empty when it is another error."""
    cause = getattr(error.orig, "__cause__", None) if isinstance(error, IntegrityError) else error
    return getattr(cause, "constraint_name", None) or ""


async def retry_while_unavailable(action: Callable[[], Awaitable[T]], *, seconds: float) -> T:
    """Call `action`, again while the database is unavailable, for `seconds` at most; the last error is raised.

    An attempt that failed may have been committed: calling `action` again must be harmless.
    """
    deadline = time.monotonic() + seconds
    failures = 0
    while True:
        try:
            return await action()
        except Exception as error:
            failures += 1
            pause = RETRY.pause(failures)
            if not is_unavailable(error) or time.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)
