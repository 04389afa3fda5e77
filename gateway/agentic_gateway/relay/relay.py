"""Passes answers on to the caller and has them charged; the application gives it what `upstream` got.

The bytes of a stream go through as they came, cut between events. Only events that tell usage or end the stream are
looked into. The end of every answer is held back until its usage is committed: who has seen the end can rely on that.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import aiohttp
import orjson

from agentic_gateway.call.attempts import Failure
from agentic_gateway.call.upstream import Answer, Call
from agentic_gateway.metrics import Metrics, family
from agentic_gateway.problems import ProviderFailed
from agentic_gateway.reserve import tokens
from agentic_gateway.route.routing import Backend
from agentic_gateway.settle import usage
from agentic_gateway.settle.meter import Entry, Meter
from agentic_gateway.settle.usage import Outcome
from agentic_gateway.wires.base import Tokens

USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"')
BOUNDARY: Final = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
"""How an event can end."""
LONGEST_END: Final = max(map(len, ENDS)) - 1
PASSED_HEADERS: Final = ("content-type", "x-request-id", "request-id", "retry-after")
DRAIN_SECONDS: Final = 1.0

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Relay:
    """Passes one kind of answer after another."""

    def __init__(self, meter: Meter, metrics: Metrics, *, max_event_bytes: int) -> None:
        self._meter = meter
        self._metrics = metrics
        self._max_event_bytes = max_event_bytes

    async def pass_on(self, call: Call, answer: Answer, send: Send) -> Tokens | None:
        """Send the answer to its end; returns what it used."""
        if answer.streamed and answer.succeeded:
            return await Streaming(self, call, answer, max_event_bytes=self._max_event_bytes).run(send)
        used = await self._charge_whole(call, answer) if answer.succeeded else None
        await send({"type": "http.response.start", "status": answer.response.status, "headers": _headers(answer)})
        await send({"type": "http.response.body", "body": answer.body})
        return used

    async def _charge_whole(self, call: Call, answer: Answer) -> Tokens:
        used = _used(call, answer)
        counted = used or _estimate(call, answer)
        entry = self.charge(call, answer.backend, counted, estimated=used is None, outcome=Outcome.COMPLETED)
        await self._meter.committed(entry)
        return counted

    def charge_failure(self, call: Call, backend: Backend, failure: Failure) -> None:
        """A model that was given the whole request may have worked on it in vain; the provider bills that too."""
        outcome = Outcome.CANCELLED if failure.cause == "cancelled" else Outcome.BROKEN
        self.charge(call, backend, Tokens(call.prompt_tokens), estimated=True, outcome=outcome)

    def charge(self, call: Call, backend: Backend, used: Tokens, *, estimated: bool, outcome: Outcome) -> Entry:
        """Put the row of an answer in line. From here on it is written whatever happens to the request."""
        labels = backend.provider.type, family(backend.model.name)
        self._metrics.tokens.labels(*labels, "input").inc(used.input)
        self._metrics.tokens.labels(*labels, "output").inc(used.output)
        row = usage.row(call.claims, backend, call.operation, tokens=used, estimated=estimated, outcome=outcome)
        return self._meter.record(row)

    async def settled(self, entry: Entry) -> None:
        """Wait until the row is committed."""
        await self._meter.committed(entry)


class Streaming:
    """One stream on its way through."""

    def __init__(self, relay: Relay, call: Call, answer: Answer, *, max_event_bytes: int) -> None:
        self._relay = relay
        self._call = call
        self._answer = answer
        self._max_event_bytes = max_event_bytes
        self._transcript = tokens.Transcript(call.operation)
        self._waiting = bytearray()
        """The beginning of an event whose end is still to come."""
        self._rest = b""
        """The last event, held back until its usage is committed."""
        self._last = b""
        self._used: Tokens | None = None
        self._ended = False
        self._complete = False

    async def run(self, send: Send) -> Tokens:
        """Send the stream; charge it however it ends."""
        response = self._answer.response
        try:
            await send({"type": "http.response.start", "status": response.status, "headers": _headers(self._answer)})
            await self._pass_events(send)
        except (aiohttp.ClientError, OSError):
            response.close()
        except BaseException as error:
            response.close()
            late = asyncio.get_running_loop().time() >= self._call.deadline
            left = isinstance(error, asyncio.CancelledError) and not late
            self._charge(Outcome.CANCELLED if left else Outcome.BROKEN)
            raise
        return await self._end(send)

    async def _pass_events(self, send: Send) -> None:
        chunk = self._answer.body
        content = self._answer.response.content
        while chunk:
            events = self._whole(chunk)
            if events:
                out = self._look(events)
                if out:
                    await send({"type": "http.response.body", "body": out, "more_body": True})
                if self._ended:
                    return
            chunk = await content.readany()
        unended = bytes(self._waiting).rstrip()
        if unended:
            out = self._look(unended + b"\n\n")
            await send({"type": "http.response.body", "body": out, "more_body": True})
        self._complete = FINISHED.search(self._last) is not None

    async def _end(self, send: Send) -> Tokens:
        """Charge, wait for the row, send what was held back; a stream without an end is told to be broken."""
        whole = self._ended or self._complete
        used, entry = self._charge(Outcome.COMPLETED if whole else Outcome.BROKEN)
        await self._relay.settled(entry)
        if not whole:
            self._rest = b""
            raise ProviderFailed(f"{self._answer.backend.ref} broke its stream off.")
        await send({"type": "http.response.body", "body": self._rest})
        return used

    def _charge(self, outcome: Outcome) -> tuple[Tokens, Entry]:
        told = self._used
        exact = told is not None and outcome is Outcome.COMPLETED
        counted = told if told is not None and exact else self._estimate(told)
        entry = self._relay.charge(self._call, self._answer.backend, counted, estimated=not exact, outcome=outcome)
        return counted, entry

    def _estimate(self, told: Tokens | None) -> Tokens:
        """What was told so far where that is more than what was counted: providers tell the input first."""
        counted = self._transcript.tokens()
        if told is None:
            return Tokens(self._call.prompt_tokens, counted)
        return replace(told, output=max(told.output, counted))

    def _whole(self, chunk: bytes) -> bytes:
        """The complete events so far; what comes after the last one waits for more.

        Only what is new is searched: an event of megabytes may come byte by byte.
        """
        if not self._waiting and chunk.endswith(ENDS):
            return chunk
        data = self._waiting
        seen = max(0, len(data) - LONGEST_END)
        data += chunk
        cut = max((at + len(end) for end in ENDS if (at := data.rfind(end, seen)) >= 0), default=0)
        events = bytes(data[:cut])
        del data[:cut]
        if len(data) > self._max_event_bytes:
            raise aiohttp.ClientPayloadError("an event is too large")
        return events

    def _look(self, events: bytes) -> bytes:
        """Take note of usage and of the end; returns what is to be sent now."""
        self._transcript.add(events)
        self._last = events
        if not USAGE.search(events) and self._call.operation.end_mark not in events:
            return events
        kept: list[bytes] = []
        for event in BOUNDARY.split(events):
            if self._call.operation.ends(event):
                self._ended = True
                self._rest = event
                break
            if not self._is_hidden(event):
                kept.append(event)
        return b"".join(kept)

    def _is_hidden(self, event: bytes) -> bool:
        operation = self._call.operation
        hidden = False
        for data in tokens.event_data(event):
            self._used = operation.used_so_far(data, self._used)
            hidden = operation.hides(data, self._call.request)
        return hidden


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    headers = answer.response.headers
    passed = [(name.encode(), headers[name].encode("latin-1", "replace")) for name in PASSED_HEADERS if name in headers]
    if answer.streamed:
        return [*passed, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    return [*passed, (b"content-length", b"%d" % len(answer.body))]


def _used(call: Call, answer: Answer) -> Tokens | None:
    """What a whole answer says it used."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    return call.operation.used(body) if isinstance(body, dict) else None


def _estimate(call: Call, answer: Answer) -> Tokens:
    """For an answer without usage: its text is counted, or all of it when it is in no form that we know."""
    counted = call.prompt_tokens
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return Tokens(counted, len(answer.body) // tokens.BYTES_PER_TOKEN)
    return Tokens(counted, tokens.written(call.operation.texts(body)) if isinstance(body, dict) else 0)


async def finish(answer: Answer) -> None:
    """Read the end of the body, which is all that can follow, so that the connection can be used again.

    The caller has the whole answer by then, and perhaps asks the next: nothing of this call must be held any more.
    """
    response = answer.response
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while not response.content.at_eof():
                await response.content.readany()
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()
