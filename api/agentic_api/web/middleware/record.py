"""The record of one request, and the outermost layer, which keeps it: its id, its metrics, what is to do at its end.

Dependencies and endpoints reach the record of their request through the ASGI scope: `record.of(request.scope)`.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic_api.identity.principal import Caller
from agentic_api.memory import HeldBytes
from agentic_core.web.metrics import HttpMetrics

KEY = "agentic.request"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass
class RequestRecord:
    """What is known of a request while it is processed."""

    request_id: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    """Headers to add to the response."""
    caller: Caller | None = None
    """The authenticated caller, once that is known."""
    admitted: bool = False
    """Whether the caller passed all checks before the endpoint, its rate and its role included."""
    memory: HeldBytes | None = None
    """What the request takes of its tenant's share of the process's memory."""
    status: int = 0
    """Status of the response; 0 before it has begun."""
    deadline: asyncio.Timeout | None = None
    """When the request is given up."""
    at_end: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Called once the request is over."""

    def unlimited(self) -> None:
        """Remove the deadline: the endpoint bounds its time itself, or the response has begun."""
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(None)


def of(scope: Scope) -> RequestRecord:
    """The record of a request."""
    found: Any = scope[KEY]
    assert isinstance(found, RequestRecord)  # noqa: S101 - the outermost layer sets it
    return found


class Recording:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        self.metrics.started()
        record = scope[KEY] = RequestRecord(_request_id(scope))
        scope["request_id"] = record.request_id

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                own = (b"x-request-id", record.request_id.encode())
                message["headers"] = [*message.get("headers", ()), own, *record.headers]
            await send(message)

        try:
            await self.app(scope, receive, named)
        finally:
            for end in record.at_end:
                end()
            seconds = time.perf_counter() - started
            self.metrics.ended(_method(scope), route(scope), record.status or 499, seconds=seconds)


def route(scope: Scope) -> str:
    """The template of the path, for metrics and logs."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _method(scope: Scope) -> str:
    return str(scope["method"]) if scope["method"] in METHODS else "OTHER"


def _request_id(scope: Scope) -> str:
    """The client's own id when it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return secrets.token_hex(8)
