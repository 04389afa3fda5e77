"""`POST /v1/run`: admits a run request and hands it to a stream. Mounted by `app`.

A plain ASGI application: the credential is verified before the body is read, within bounds of size and time, and the
response is written event by event.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from agentic_core import attributes, bounded_json, telemetry
from agentic_core.auth import run_tokens
from agentic_core.contract import VERSION, RunRequest, read_request
from agentic_core.errors import Forbidden, Invalid, Malformed, PlatformError, TooLarge, Unauthenticated
from agentic_core.fair_semaphore import Exhausted, FairSemaphore
from agentic_core.tasks import in_thread
from agentic_core.web import bearer, body, problems
from agentic_runtime.failures import Busy, VersionUnsupported
from agentic_runtime.loop import Loop
from agentic_runtime.runs import ActiveRuns
from agentic_runtime.settings import RuntimeSettings
from agentic_runtime.stream import RunStream

MAX_REPORTED = 10
"""Mistakes of a request that are listed."""
LARGE_BODY = 256 * 1024
"""Larger bodies are parsed in a thread."""
MESSAGE_BYTES = 1024
"""What a message counts besides its bytes."""
POD = UUID(int=0)
"""The only tenant of a pod: its namespace's."""


class RunEndpoint:
    """Serves runs."""

    def __init__(self, settings: RuntimeSettings, loop: Loop, *, runs: ActiveRuns, keepalive_seconds: float) -> None:
        self._settings = settings
        self._keys: Sequence[Ed25519PublicKey] = run_tokens.public_keys(settings.run_token_keys)
        self._loop = loop
        self._runs = runs
        capacity = max(settings.request_bytes, settings.max_body_bytes)
        self._memory = FairSemaphore[UUID](capacity, per_tenant=capacity)
        self._stream = partial(RunStream, runs=runs, keepalive_seconds=keepalive_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with a stream of events, or with a problem document when the request cannot run."""
        headers = Headers(scope=scope)
        async with AsyncExitStack() as held:
            try:
                token = _token(headers)
                claims = self._verified(token)
                self._runs.check()
                request = await self._request(headers, receive, held)
                _authorize(claims, request)
            except PlatformError as error:
                await problems.response(error)(scope, receive, send)
                return
            except body.Disconnected:
                return
            await self._serve(request, token, headers, receive, send)

    def _verified(self, token: str) -> run_tokens.RunClaims:
        """The claims of a token for this pod's namespace."""
        claims = run_tokens.verify(token, self._keys)
        namespace = self._settings.namespace
        if claims.namespace != namespace:
            raise Forbidden(f"The run token is for namespace {claims.namespace}; this runtime serves {namespace}.")
        return claims

    async def _request(self, headers: Headers, receive: Receive, held: AsyncExitStack) -> RunRequest:
        """The request of a run, whose memory is held up to the run's end, taken before it is read."""
        settings = self._settings
        declared = body.declared(headers.raw)
        if declared > settings.max_body_bytes:
            raise body.too_large(settings.max_body_bytes)
        await self._hold(declared or settings.max_body_bytes, held, seconds=settings.share_wait_seconds)
        sent = await body.read(receive, max_bytes=settings.max_body_bytes, seconds=settings.body_timeout)
        request = _parse(sent) if len(sent) < LARGE_BODY else await in_thread(partial(_parse, sent))
        await self._hold(len(request.messages) * MESSAGE_BYTES, held, seconds=0)
        return request

    async def _hold(self, weight: int, held: AsyncExitStack, *, seconds: float) -> None:
        """Hold memory of the pod; never waits while other memory is held."""
        try:
            await held.enter_async_context(self._memory.hold(POD, weight, seconds=seconds))
        except Exhausted:
            raise Busy("The requests of the runs in progress take the memory of this runtime.") from None

    async def _serve(self, request: RunRequest, token: str, headers: Headers, receive: Receive, send: Send) -> None:
        parent = telemetry.extract(dict(headers))
        with (
            self._runs.admit(),
            telemetry.log_context(tenant=request.tenant, run=request.run_id, agent=request.agent),
            telemetry.span(
                f"invoke_agent {request.agent}",
                attributes.invoke_agent(request),
                kind=SpanKind.SERVER,
                parent=parent,
            ) as span,
        ):
            outcome = await self._stream(receive, send).serve(self._loop, request, token)
            if outcome != "succeeded":
                telemetry.failed(span, outcome)
            self._runs.ended(outcome)


def _token(headers: Headers) -> str:
    token = bearer.token(headers.get("authorization"))
    if token is None:
        raise Unauthenticated("Send the run token as `Authorization: Bearer …`.")
    return token


def _parse(sent: bytes) -> RunRequest:
    try:
        bounded_json.check(sent)
        request = read_request(sent)
    except bounded_json.ExcessiveJson as error:
        raise TooLarge(f"The run request cannot be read: {error}.") from None
    except ValidationError as error:
        # Neither input nor context: both may hold text of the conversation.
        mistakes = error.errors(include_url=False, include_input=False, include_context=False)
        if mistakes[0]["type"] == "json_invalid":
            raise Malformed(f"The body is not JSON in UTF-8: {mistakes[0]['msg']}.") from None
        listed = [
            {"field": ".".join(map(str, mistake["loc"])), "message": mistake["msg"]}
            for mistake in mistakes[:MAX_REPORTED]
        ]
        raise Invalid(f"The run request breaks the contract in {len(mistakes)} places.", errors=listed) from None
    if request.requires > VERSION:
        raise VersionUnsupported(
            f"An api of contract version {request.version} sent a run that needs version {request.requires};"
            f" this runtime supports {VERSION}. Use a newer runtime image."
        )
    return request


def _authorize(claims: run_tokens.RunClaims, request: RunRequest) -> None:
    """The token is for this very run."""
    named = (request.run_id, request.namespace, request.tenant, request.agent)
    if named != (claims.run_id, claims.namespace, claims.tenant, claims.agent):
        raise Forbidden("The run token is for another run: run_id, namespace, tenant and agent must be the token's.")
