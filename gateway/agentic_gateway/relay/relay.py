"""Moves the bytes of a response to the caller, up to its end, and reports what it used; the flow settles and ends it.

The bytes of a stream go through as they came. Only events that report usage or end the stream are parsed. The end of
every response is kept back until its usage is committed: a caller who has seen the end can rely on that.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import aiohttp
import orjson

from agentic_core import bounded_json
from agentic_core.bounded_json import ExcessiveJson
from agentic_gateway.call.upstream import ModelCall, ProviderResponse
from agentic_gateway.ledger import CallOutcome
from agentic_gateway.problems import ProviderFailed
from agentic_gateway.reserve import tokens
from agentic_gateway.wires import events
from agentic_gateway.wires.base import Tokens
from agentic_gateway.wires.events import EventSplitter, EventTooLarge, ServerSentEvent

USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
USAGE_OBJECT: Final = re.compile(rb'"usage"\s*:\s*(\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})')
USAGE_BYTES: Final = 4096
SLICE_BYTES: Final = 256 * 1024
FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"')
PASSED_HEADERS: Final = ("content-type", "x-request-id", "request-id", "retry-after")
DRAIN_SECONDS: Final = 1.0

Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Used:
    """What a response used."""

    tokens: Tokens
    estimated: bool
    """Whether it was counted here, because the provider did not report it."""


class Transfer(Protocol):
    """One response on its way to the caller: `forward`, then, once its usage is settled, `finish`."""

    async def forward(self, send: Send) -> CallOutcome:
        """Send all but the end; returns how the response ended at the provider."""
        ...

    def used(self, outcome: CallOutcome) -> Used | None:
        """What it has used until now, None for a response that costs nothing."""
        ...

    async def finish(self, send: Send) -> None:
        """Send the end; raises `ProviderFailed` for a response that has none."""
        ...


def transfer(call: ModelCall, response: ProviderResponse, *, max_event_bytes: int) -> Transfer:
    """The transfer of a response."""
    if response.streamed and response.succeeded:
        return StreamTransfer(call, response, max_event_bytes=max_event_bytes)
    return WholeTransfer(call, response)


class WholeTransfer:
    """A response that is here in full."""

    def __init__(self, call: ModelCall, response: ProviderResponse) -> None:
        self._call = call
        self._response = response
        self._used: Used | None = None

    async def forward(self, send: Send) -> CallOutcome:
        """It is not sent before its usage is settled, only read."""
        if self._response.succeeded:
            self._used = await self._call.memory.parse_response(self._read, len(self._response.body))
        return CallOutcome.COMPLETED

    def used(self, outcome: CallOutcome) -> Used | None:
        """What it reports; else its text is counted, or all of it when it is in no known form."""
        if self._used is None and self._response.succeeded:
            return Used(Tokens(self._call.prompt_tokens), estimated=True)  # it was not read to its end
        return self._used

    def _read(self) -> Used:
        operation, prompt, body = self._call.operation, self._call.prompt_tokens, self._response.body
        try:
            parsed = bounded_json.loads(body)
        except ExcessiveJson:
            parsed = _reported_usage(body)
        except ValueError:
            return Used(Tokens(prompt, len(body) // tokens.BYTES_PER_TOKEN), estimated=True)
        if not isinstance(parsed, dict):
            return Used(Tokens(prompt), estimated=True)
        reported = operation.used(parsed)
        if reported:
            return Used(reported, estimated=False)
        return Used(Tokens(prompt, tokens.written(operation.texts(parsed))), estimated=True)

    async def finish(self, send: Send) -> None:
        """Send all of it, each slice when the connection takes it: what a caller does not read stays in this call."""
        body = self._response.body
        headers = [*_headers(self._response), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self._response.http.status, "headers": headers})
        start = 0
        while len(body) - start > SLICE_BYTES:
            part = body[start : start + SLICE_BYTES]
            await send({"type": "http.response.body", "body": part, "more_body": True})
            start += SLICE_BYTES
        await send({"type": "http.response.body", "body": body[start:]})


def _reported_usage(body: bytes) -> dict[str, Any]:
    """The usage of a response of too many values to be parsed, such as hundreds of vectors: it is at either end."""
    for end in (body[-USAGE_BYTES:], body[:USAGE_BYTES]):
        for found in USAGE_OBJECT.finditer(end):
            try:
                return {"usage": orjson.loads(found[1])}
            except orjson.JSONDecodeError:
                continue
    return {}


class StreamTransfer:
    """A stream of events."""

    def __init__(self, call: ModelCall, response: ProviderResponse, *, max_event_bytes: int) -> None:
        self._call = call
        self._response = response
        self._max_event_bytes = max_event_bytes
        self._splitter = EventSplitter(max_event_bytes=max_event_bytes)
        self._text = tokens.StreamedText(call.operation)
        self._last = b""
        self._end: bytes | None = None
        """The event that ends the stream, once it is here; empty for a stream that ends without one."""
        self._reported: Tokens | None = None

    async def forward(self, send: Send) -> CallOutcome:
        """Send the events up to the one that ends the stream."""
        provider = self._response.http
        headers = [*_headers(self._response), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        try:
            await send({"type": "http.response.start", "status": provider.status, "headers": headers})
            await self._forward_events(send)
        except (aiohttp.ClientError, OSError, EventTooLarge):
            provider.close()
        except BaseException:
            provider.close()
            raise
        return CallOutcome.BROKEN if self._end is None else CallOutcome.COMPLETED

    async def _forward_events(self, send: Send) -> None:
        chunk = self._response.body
        content = self._response.http.content
        while chunk:
            whole = self._splitter.feed(chunk)
            await self._call.memory.hold_response(self._splitter.pending, max_bytes=self._max_event_bytes)
            if whole:
                out = self._inspect(whole)
                if out:
                    await send({"type": "http.response.body", "body": out, "more_body": True})
                if self._end is not None:
                    return
            chunk = await content.readany()
        unended = self._splitter.rest.rstrip()
        if unended:
            out = self._inspect(unended + b"\n\n")
            await send({"type": "http.response.body", "body": out, "more_body": True})
        if self._end is None and FINISHED.search(self._last):
            self._end = b""

    def _inspect(self, whole: bytes) -> bytes:
        """Take note of usage and of the end in whole events; returns what is sent now."""
        self._text.add(whole)
        self._last = whole
        operation = self._call.operation
        if not USAGE.search(whole) and operation.end_mark not in whole:
            return whole
        sent: list[bytes] = []
        for event in events.split(whole):
            if operation.ends(event):
                self._end = event.raw
                break
            if not self._hides(event):
                sent.append(event.raw)
        return b"".join(sent)

    def _hides(self, event: ServerSentEvent) -> bool:
        """Take note of the usage in an event; whether it is kept from the caller."""
        if event.json is None:
            return False
        operation = self._call.operation
        self._reported = operation.used_so_far(event.json, self._reported)
        return operation.hides(event.json, self._call.request.own)

    def used(self, outcome: CallOutcome) -> Used:
        """What it reports, for a complete stream; else the larger of that and what was counted: providers report the
        input first."""
        reported = self._reported
        if reported is not None and outcome is CallOutcome.COMPLETED:
            return Used(reported, estimated=False)
        counted = self._text.tokens()
        if reported is None:
            return Used(Tokens(self._call.prompt_tokens, counted), estimated=True)
        return Used(replace(reported, output=max(reported.output, counted)), estimated=True)

    async def finish(self, send: Send) -> None:
        """Send the event that ends the stream."""
        if self._end is None:
            raise ProviderFailed(f"{self._response.backend.ref} broke its stream off.")
        await send({"type": "http.response.body", "body": self._end})


def _headers(response: ProviderResponse) -> list[tuple[bytes, bytes]]:
    headers = response.http.headers
    return [(name.encode(), headers[name].encode("latin-1", "replace")) for name in PASSED_HEADERS if name in headers]


async def drain(response: ProviderResponse) -> None:
    """Read the end of the body, which is all that can follow, so that the connection can be used again.

    The caller has the whole response by then, and may send its next request: nothing of this call is reserved any more.
    """
    provider = response.http
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while not provider.content.at_eof():
                await provider.content.readany()
    except (TimeoutError, aiohttp.ClientError, OSError):
        provider.close()
