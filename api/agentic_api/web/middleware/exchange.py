"""The record of one request and its answer that the edge keeps; dependencies reach it through the ASGI scope."""

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from agentic_api.identity.principal import Caller

KEY = "agentic.exchange"
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass
class Exchange:
    """What is known of a request while it is answered."""

    request_id: str
    deadline: asyncio.Timeout
    """When it is given up; a run or a stream sets it to None with `unlimited`."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    """Headers to add to the answer."""
    caller: Caller | None = None
    """Who sent it, once that is known."""
    status: int = 0
    """Status of the answer once it has begun."""
    reading: bool = False
    """Whether the body is arriving."""
    read: bool = False
    """Whether the whole body has arrived."""
    at_end: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """What to do once it is over."""
    refused: bool = False
    """Whether there was no room for a large answer; what the application goes on to send is dropped."""
    counted: bool = False
    """Whether the whole answer is counted as a large one; of a stream, each large part is."""
    limited: bool = True
    """Whether the deadline holds."""

    def allow(self, seconds: float) -> None:
        """Move the deadline to `seconds` from now."""
        if self.limited:
            self.deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    def unlimited(self) -> None:
        """Let the endpoint take as long as it takes: it has a limit of its own."""
        if self.limited:
            self.limited = False
            self.deadline.reschedule(None)


def of(scope: Scope) -> Exchange:
    """The exchange of a request."""
    found: Any = scope[KEY]
    assert isinstance(found, Exchange)  # noqa: S101 - the edge is always there
    return found


def request_id(scope: Scope) -> str:
    """The client's own id when it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return secrets.token_hex(8)
