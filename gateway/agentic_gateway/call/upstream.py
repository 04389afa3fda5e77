"""Calls providers: keys, retries, fallbacks, circuits, until one backend responds. The flow calls it once a request.

Nothing is sent to the caller before there is a response: a stream counts as one with its first bytes, any other when it
is complete. So a failure up to then is repaired without the caller seeing it.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from agentic_core import telemetry
from agentic_core.egress import Guard, GuardedClient, Lookups, refusal
from agentic_core.errors import PlatformError, RateLimited
from agentic_gateway import accepted
from agentic_gateway.accepted import AcceptedRequest
from agentic_gateway.call import attempts
from agentic_gateway.call.attempts import Attempt, AttemptFailure, Plan
from agentic_gateway.call.circuit import Circuits
from agentic_gateway.call.keys import KeyRing
from agentic_gateway.problems import ProviderFailed, ProviderForbidden, ProviderUnavailable
from agentic_gateway.route.routing import Backend
from agentic_gateway.shares import CallMemory
from agentic_gateway.wires.base import EVENT_STREAM, Operation

RECEIVE_BYTES: Final = 256 * 1024
"""What the kernel keeps of a response whose caller does not read it; enough for 2.5 MB a second over 100 ms."""
MAX_DISCARDED: Final = 64 * 1024
"""Bodies of failures up to this size are read, so that the connection can be used again."""


@dataclass(frozen=True)
class ModelCall:
    """One request of a caller, accepted."""

    operation: Operation
    request: AcceptedRequest
    headers: Mapping[bytes, bytes]
    memory: CallMemory
    deadline: float
    """When its response has to be complete, in the event loop's time."""
    max_output: int
    """Tokens that the model may write."""

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens the model reads."""
        return self.request.prompt_tokens


@dataclass(frozen=True)
class ProviderResponse:
    """What a backend responded: all of it, or the beginning of a stream."""

    backend: Backend
    http: aiohttp.ClientResponse
    body: bytes
    streamed: bool

    @property
    def succeeded(self) -> bool:
        """Whether it is a response of the model, not a refusal of the request."""
        return self.http.status < 300


@dataclass
class AttemptProgress:
    """How far one attempt has come."""

    unsent: int = 0
    """Bytes of the request that are not written yet."""
    begun: bool = False
    """Whether any are."""
    responding: bool = False
    """Whether it has begun a good response."""

    @property
    def sent(self) -> bool:
        """Whether the provider has the whole request."""
        return self.begun and self.unsent <= 0


OnFailure = Callable[[Backend, AttemptFailure], None]


class Upstream:
    """All providers."""

    def __init__(
        self,
        client: GuardedClient,
        keys: KeyRing,
        *,
        circuits: Circuits,
        attempts: int,
        max_response_bytes: int,
        trusted_trace: bool,
    ) -> None:
        self._client = client
        self._keys = keys
        self._circuits = circuits
        self._attempts = attempts
        self._max_response_bytes = max_response_bytes
        self._trusted_trace = trusted_trace
        self._random = random.Random()  # noqa: S311 - jitter is no secret

    async def respond(self, call: ModelCall, backends: Sequence[Backend], on_failure: OnFailure) -> ProviderResponse:
        """The first response of a backend; raises what the caller gets when there is none."""
        loop = asyncio.get_running_loop()
        plan = Plan(backends, attempts=self._attempts, jitter=self._random)
        while (attempt := plan.next()) and attempt.ready_at < call.deadline:
            pause = attempt.ready_at - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            result = await self._attempt(call, attempt.backend, on_failure)
            if isinstance(result, ProviderResponse):
                return result
            on_failure(attempt.backend, result)
            plan.failed(attempt, result, loop.time())
        raise self._problem(plan, attempt)

    async def _attempt(
        self, call: ModelCall, backend: Backend, on_failure: OnFailure
    ) -> ProviderResponse | AttemptFailure:
        """One attempt, unless the circuit is open; its result counts for the circuit."""
        loop = asyncio.get_running_loop()
        if not self._circuits.admits(backend.key, loop.time()):
            seconds = self._circuits.retry_after(backend.key, loop.time())
            reason = self._circuits.reason(backend.key)
            detail = f"is left alone for {seconds:.0f} s after failing too often: last it {reason}"
            return AttemptFailure("open", detail, retry_after=seconds)
        progress = AttemptProgress()
        try:
            result = await self._guarded(call, backend, progress)
        except BaseException:
            self._circuits.abandoned(backend.key)
            if progress.sent:
                on_failure(backend, AttemptFailure("cancelled", "was not waited for", spent=True))
            raise
        if isinstance(result, ProviderResponse):
            self._circuits.succeeded(backend.key)
        elif result.cause == "rate_limited":
            self._circuits.abandoned(backend.key)
        else:
            self._circuits.failed(backend.key, loop.time(), result.detail)
        return result

    async def _guarded(
        self, call: ModelCall, backend: Backend, progress: AttemptProgress
    ) -> ProviderResponse | AttemptFailure:
        try:
            return await self._exchange(call, backend, progress)
        except ProviderForbidden as error:
            return AttemptFailure("forbidden", error.message)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error, progress)

    async def _exchange(
        self, call: ModelCall, backend: Backend, progress: AttemptProgress
    ) -> ProviderResponse | AttemptFailure:
        key = await self._keys.key(backend)
        response = await self._post(call, backend, key.value, progress)
        if response.status == 401 and key.value:
            await _discard(response)
            newer = await self._keys.key(backend, newer_than=key.read_at)
            if newer.value == key.value:
                return AttemptFailure("forbidden", "does not accept its key")
            key, response = newer, await self._post(call, backend, newer.value, progress)
        failure = _refusal(response)
        if failure:
            await _discard(response)
            return failure
        progress.responding = True
        return await self._begin(call, backend, response, key=key.value)

    async def _post(
        self, call: ModelCall, backend: Backend, key: str | None, progress: AttemptProgress
    ) -> aiohttp.ClientResponse:
        operation = call.operation
        headers = operation.upstream_headers(call.headers, key)
        if self._trusted_trace:
            telemetry.inject(headers)
        kind = backend.provider.type
        own = operation.upstream_own(call.request.own, backend.model.name, kind, max_output=call.max_output)
        body, size = accepted.upstream_body(call.request, own)
        headers["Content-Length"] = str(size)
        progress.unsent, progress.begun = size, False
        return await self._client.request(
            "POST",
            backend.provider.url + operation.upstream_path,
            tenant=backend.tenant_id,
            data=body,
            headers=headers,
            trace_request_ctx=progress,
        )

    async def _begin(
        self, call: ModelCall, backend: Backend, response: aiohttp.ClientResponse, *, key: str | None
    ) -> ProviderResponse | AttemptFailure:
        """Read up to where the response can be passed on."""
        streamed = response.content_type == EVENT_STREAM
        try:
            if streamed:
                body = await response.content.readany()
            else:
                body = await self._read(response, call.memory)
        except BaseException:
            response.close()
            raise
        if streamed and not body:
            response.close()
            return AttemptFailure("failed", "ended its stream before the first event", spent=True)
        if key and response.status >= 400:
            body = body.replace(key.encode(), b"[key]")
        return ProviderResponse(backend, response, body, streamed)

    async def _read(self, response: aiohttp.ClientResponse, memory: CallMemory) -> bytes:
        parts: list[bytes] = []
        size, max_bytes = 0, self._max_response_bytes
        await memory.hold_response(min(response.content_length or 0, max_bytes), max_bytes=max_bytes)
        async for part in response.content.iter_any():
            size += len(part)
            await memory.hold_response(min(size, max_bytes), max_bytes=max_bytes)
            if size > max_bytes:
                raise ProviderForbidden(f"answers with more than {max_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    def _problem(self, plan: Plan, waiting: Attempt | None) -> PlatformError:
        """What the caller gets when no backend responded."""
        causes = {failure.cause for _, failure in plan.failures}
        waits = [failure.retry_after or 1 for _, failure in plan.failures if failure.cause in ("open", "rate_limited")]
        message = _summary(plan)
        if causes == {"open"}:
            problem: PlatformError = ProviderUnavailable(message)
            problem.headers["Retry-After"] = str(max(1, round(min(waits))))
        elif causes and causes <= {"open", "rate_limited"}:
            problem = RateLimited(message, retry_after=min(waits))
        elif causes == {"forbidden"}:
            problem = ProviderForbidden(message)
        else:
            problem = ProviderFailed(message or "The time for the request is over.")
        if waiting is None:
            problem.headers["x-should-retry"] = "false"
        return problem


def client(
    guard: Guard, *, connect: float, silence: float, per_host: int, lookups: Lookups | None = None
) -> GuardedClient:
    """The one client of the process, with pools of kept connections."""
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_note_sent)
    return GuardedClient(
        guard,
        lookups=lookups,
        per_host=per_host,
        keep_seconds=55,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect * 2, sock_connect=connect, sock_read=silence),
        headers={"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "agentic-gateway"},
        decompress=True,
        receive_bytes=RECEIVE_BYTES,
        traces=[trace],
    )


async def _note_sent(_session: Any, context: Any, sent: Any) -> None:
    """aiohttp has written a part of the request."""
    progress: AttemptProgress = context.trace_request_ctx
    progress.unsent -= len(sent.chunk)
    progress.begun = True


def _summary(plan: Plan) -> str:
    """One sentence for each backend: what went wrong last, and how often it was tried."""
    last = {backend.ref: failure for backend, failure in plan.failures}
    tried = [backend.ref for backend, _ in plan.failures]
    return " ".join(
        f"{ref} {failure.detail} ({tried.count(ref)} attempt{'s' if tried.count(ref) > 1 else ''})."
        for ref, failure in last.items()
    )


def _refusal(response: aiohttp.ClientResponse) -> AttemptFailure | None:
    """Whether the status means that this backend gives no response; other statuses are passed on to the caller."""
    status = response.status
    if status in attempts.RETRYABLE_STATUSES:
        wait = attempts.retry_after(response.headers.get("Retry-After"))
        return AttemptFailure("rate_limited" if status == 429 else "failed", f"answered {status}", retry_after=wait)
    if status in (401, 403):
        return AttemptFailure("forbidden", "does not accept its key")
    if 300 <= status < 400:
        return AttemptFailure("forbidden", f"answered {status}, and redirects are not followed; correct its baseUrl")
    if status >= 500:
        return AttemptFailure("failed", f"answered {status}")
    return None


def _failure(error: Exception, progress: AttemptProgress) -> AttemptFailure:
    refused = refusal(error)
    if refused:
        return AttemptFailure("forbidden", f"has a baseUrl that must not be called: {refused}")
    if isinstance(error, TimeoutError):
        return AttemptFailure("timeout", "did not answer in time", spent=progress.sent)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return AttemptFailure("unreachable", "has a host name that cannot be resolved")
    if isinstance(error, aiohttp.ClientConnectorError):
        return AttemptFailure("unreachable", "cannot be connected to")
    if isinstance(error, aiohttp.ServerDisconnectedError) and not progress.responding:
        return AttemptFailure("disconnected", "closed the connection")
    return AttemptFailure("unreachable", "broke the connection", spent=progress.responding)


async def _discard(response: aiohttp.ClientResponse) -> None:
    """Read a small body, so that its connection can be used again; drop the connection of any other."""
    length = response.content_length
    if length is None or length > MAX_DISCARDED:
        response.close()
        return
    try:
        await response.read()
    except (aiohttp.ClientError, OSError):
        response.close()
