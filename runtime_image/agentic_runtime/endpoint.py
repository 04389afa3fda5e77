"""`POST /v1/run`: admits a run request and hands it to a stream. Mounted by `app`.

A plain ASGI application: the body is read here, bounded in size and time, and the answer is written event by event.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentic_core import attributes, telemetry
from agentic_core.auth import run_tokens
from agentic_core.contract import RunRequest
from agentic_core.errors import Forbidden, Invalid, Malformed, PlatformError, TooLarge, Unauthenticated
from agentic_runtime.loop import Loop
from agentic_runtime.runs import Runs
from agentic_runtime.settings import RuntimeSettings
from agentic_runtime.stream import RunStream

MAX_REPORTED = 10
"""Mistakes of a request that are listed."""


class RunEndpoint:
    """Serves runs."""

    def __init__(self, settings: RuntimeSettings, loop: Loop, *, runs: Runs, keepalive_seconds: float) -> None:
        self._settings = settings
        self._keys: Sequence[Ed25519PublicKey] = run_tokens.public_keys(settings.run_token_keys)
        self._loop = loop
        self._runs = runs
        self._stream = partial(RunStream, runs=runs, keepalive_seconds=keepalive_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a stream of events, or with a problem document when the request is not one that can run."""
        headers = Headers(scope=scope)
        try:
            self._runs.check()
            token = _bearer(headers)
            claims = run_tokens.verify(token, self._keys)
            request = _parse(await self._body(headers, receive))
            _authorize(claims, request, self._settings.namespace)
        except PlatformError as error:
            await problem(error)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        await self._serve(request, token, headers, receive, send)

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

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._settings.max_body_bytes
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge(f"The request has {declared} bytes; at most {limit} are read.")
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                return await _read(receive, limit)
        except TimeoutError:
            raise Malformed(f"The body did not arrive within {self._settings.body_timeout:g} s.") from None


async def _read(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(f"The request has more than {limit} bytes.")
        if not message.get("more_body"):
            return bytes(body)


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send the run token as `Authorization: Bearer …`.")
    return token.strip()


def _parse(body: bytes) -> RunRequest:
    try:
        return RunRequest.model_validate_json(body)
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


def _authorize(claims: run_tokens.RunClaims, request: RunRequest, namespace: str) -> None:
    """The token is for this very run, and this pod is the place for it."""
    if claims.namespace != namespace:
        raise Forbidden(f"The run token is for namespace {claims.namespace}; this runtime serves {namespace}.")
    told = (request.run_id, request.namespace, request.tenant, request.agent)
    if told != (claims.run_id, claims.namespace, claims.tenant, claims.agent):
        raise Forbidden("The run token is for another run: run_id, namespace, tenant and agent must be the token's.")


def problem(error: PlatformError) -> Response:
    """The error as problem+json (RFC 9457)."""
    document = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.message,
        **error.details,
    }
    return Response(
        orjson.dumps(document),
        status_code=error.status,
        headers={**error.headers, "Content-Type": "application/problem+json"},
    )
