"""The client side of the contract with runtimes: a run request out, its events in; the driver uses it.

A runtime may be a user's own program, so its response is bounded in line length, number of events and bytes. Its name
may be a Service that a user made, so it is connected to only where a runtime can be.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from agentic_api.runs.lifecycle.capacity import MAX_RUNS
from agentic_core import bounded_json, telemetry
from agentic_core.bounded_json import ExcessiveJson
from agentic_core.contract import (
    KEEPALIVE_SECONDS,
    NDJSON,
    PROBLEM_JSON,
    RUN_PATH,
    ErrorCode,
    Event,
    Failed,
    Final,
    Refusal,
    RunError,
    read_event,
)
from agentic_core.egress import Guard, GuardedClient, InvalidUrl, refusal
from agentic_core.quoting import quoted

CONNECTIONS = 2 * MAX_RUNS
"""Maximum of connections to runtimes: a run holds one while it runs, and must not wait for those of other tenants."""
TOO_MANY_REQUESTS = 429
NOT_STARTED = {502, 503, 504, TOO_MANY_REQUESTS}
"""Statuses by which a runtime, or a proxy before it, says that it has not begun the run."""
TRY_ANOTHER = {ErrorCode.RUNTIME_BUSY, ErrorCode.RUNTIME_DRAINING}
"""Codes of problems that say the same."""


class Stopped(Exception):
    """The runtime's response ended without saying how the run ended."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = RunError(code=code, message=message)


class NotStarted(Stopped):
    """The runtime has not begun the run, so it can be sent again."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(ErrorCode.RUNTIME_UNREACHABLE, message)
        self.retry_after = retry_after
        """Seconds to wait before that, as the runtime says."""


@dataclass(frozen=True)
class Bounds:
    """What a runtime may send and how long it may be silent."""

    silence_seconds: float = 3 * KEEPALIVE_SECONDS
    connect_seconds: float = 5.0
    line_bytes: int = 4 * 1024 * 1024
    line_values: int = 50_000
    """JSON values of a line."""
    total_bytes: int = 64 * 1024 * 1024
    events: int = 200_000
    refusal_bytes: int = 16 * 1024
    refusal_seconds: float = 5.0
    retry_after_seconds: float = 10.0
    """The longest Retry-After that is followed."""


@dataclass(frozen=True)
class RuntimeClient:
    """Sends runs to runtimes."""

    http: GuardedClient
    bounds: Bounds = Bounds()

    async def run(self, endpoint: str, body: bytes, token: str, *, tenant: str) -> AsyncGenerator[Event]:
        """The events of the run of `body`, a `RunRequest`, up to `final` or `error`. Closing it cancels.

        Raises `NotStarted` or `Stopped`.
        """
        headers = telemetry.inject(
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": NDJSON}
        )
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self.bounds.connect_seconds, sock_read=self.bounds.silence_seconds
        )
        begun = False
        try:
            async with await self.http.request(
                "POST", endpoint + RUN_PATH, tenant=tenant, data=body, headers=headers, timeout=timeout
            ) as response:
                await self._check(response)
                async for event in self._events(response):
                    begun = True
                    yield event
                    if isinstance(event, Final | Failed):
                        return
        except (aiohttp.ClientError, TimeoutError, OSError, InvalidUrl) as error:
            raise _lost(error, begun=begun) from error
        raise Stopped(ErrorCode.INTERRUPTED, "The runtime closed the connection before the run had ended.")

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 200:
            raise await self._refused(response)
        if response.content_type != NDJSON:
            kind = response.content_type[:80]
            raise Stopped(ErrorCode.RUNTIME_PROTOCOL, f"The runtime answered with {kind}, not {NDJSON}.")

    async def _refused(self, response: aiohttp.ClientResponse) -> Stopped:
        """What the status means for the run; only the words of a 4xx are the run's error."""
        status = response.status
        refusal = await self._refusal(response) if response.content_type == PROBLEM_JSON else Refusal()
        if status == TOO_MANY_REQUESTS:
            wait = min(_seconds(response.headers.get("Retry-After", "")), self.bounds.retry_after_seconds)
            return NotStarted("The runtime answered with status 429.", retry_after=wait)
        if status in NOT_STARTED or refusal.code in TRY_ANOTHER:
            return NotStarted(f"The runtime answered with status {status}.")
        if not 400 <= status < 500:
            refusal = Refusal()
        return Stopped(refusal.code, quoted(refusal.detail) or f"The runtime refused the run with status {status}.")

    async def _refusal(self, response: aiohttp.ClientResponse) -> Refusal:
        """Why the runtime refuses the run; empty when it does not say so as the contract has it."""
        try:
            async with asyncio.timeout(self.bounds.refusal_seconds):
                body = await _start(response.content, self.bounds.refusal_bytes)
            return Refusal.model_validate(without_nul(from_json(body)))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return Refusal()

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Event]:
        count = 0
        async for line in self._lines(response):
            count += 1
            if count > self.bounds.events:
                raise Stopped(ErrorCode.RUNTIME_PROTOCOL, f"The runtime sent more than {self.bounds.events} events.")
            yield parse(line, max_values=self.bounds.line_values)

    async def _lines(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        rest, total = bytearray(), 0  # what is kept is appended to, not copied: lines may come byte by byte
        async for chunk in response.content.iter_any():
            total += len(chunk)
            if total > self.bounds.total_bytes:
                raise Stopped(
                    ErrorCode.RUNTIME_PROTOCOL, f"The runtime sent more than {self.bounds.total_bytes} bytes."
                )
            end, *others = chunk.split(b"\n")
            rest += end
            self._check_line(rest)
            for start in others:
                if rest.strip():
                    yield bytes(rest)
                rest = bytearray(start)
                self._check_line(rest)

    def _check_line(self, line: bytearray) -> None:
        if len(line) > self.bounds.line_bytes:
            raise Stopped(
                ErrorCode.RUNTIME_PROTOCOL, f"The runtime sent a line of over {self.bounds.line_bytes} bytes."
            )


def client(guard: Guard) -> GuardedClient:
    """The one client of the process. It unpacks nothing, which could fill the memory."""
    return GuardedClient(guard, max_connections=CONNECTIONS, keep_seconds=60)


def parse(line: bytes, *, max_values: int) -> Event:
    """The event of a line. NUL characters, which PostgreSQL does not store, become U+FFFD."""
    try:
        bounded_json.check(line, max_values=max_values)
        return read_event(to_json(without_nul(from_json(line))) if b"\\u0000" in line else line)
    except ExcessiveJson as error:
        raise Stopped(ErrorCode.RUNTIME_PROTOCOL, f"The runtime sent a line that is refused: {error}.") from None
    except (ValidationError, ValueError) as error:
        kind = error.errors()[0]["type"] if isinstance(error, ValidationError) else "json"
        raise Stopped(ErrorCode.RUNTIME_PROTOCOL, f"The runtime sent a line that is not an event ({kind}).") from None


def without_nul(value: Any) -> Any:
    """A JSON value with U+FFFD for each NUL character."""
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case list():
            return [without_nul(item) for item in value]
        case dict():
            return {without_nul(key): without_nul(item) for key, item in value.items()}
        case _:
            return value


async def _start(stream: aiohttp.StreamReader, max_bytes: int) -> bytes:
    body = b""
    while len(body) < max_bytes and (chunk := await stream.read(max_bytes - len(body))):
        body += chunk
    return body


def _seconds(retry_after: str) -> float:
    """Seconds of a Retry-After header; a date counts as nothing."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _lost(error: Exception, *, begun: bool) -> Stopped:
    refused = refusal(error)
    if refused:
        return Stopped(ErrorCode.RUNTIME_UNREACHABLE, f"The runtime's address must not be called: {refused}.")
    silent = isinstance(error, asyncio.TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
    if not begun and not silent:
        return NotStarted(f"The runtime could not be reached ({type(error).__name__}).")
    why = "was silent for too long" if silent else "closed the connection"
    return Stopped(ErrorCode.INTERRUPTED, f"The runtime {why} before the run had ended.")
