"""What a tool is. Plugins implement `Tool` and register it under the entry point group `agentic.tools`.

A tool depends neither on LangChain nor on providers nor on the server; the loop adapts it.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from agentic_core.errors import PlatformError


class ToolFailed(PlatformError):
    """The tool could not do it; the model gets the message and may try otherwise."""

    code, title = "tool_failed", "Tool failed"


@dataclass(frozen=True)
class FetchedPage:
    """The response of a URL."""

    url: str
    """Where the redirects ended."""
    status: int
    content_type: str
    text: str
    truncated: bool
    """Whether there was more than the limit."""


class Http(Protocol):
    """The only way out of the pod for a tool: refuses addresses inside the cluster and bounds what it reads."""

    async def get(self, url: str, *, max_bytes: int, seconds: float) -> FetchedPage:
        """The text behind a URL; `ToolFailed` when it may not or cannot be read."""
        ...


@dataclass(frozen=True)
class ToolContext:
    """What a tool may use besides its arguments."""

    deadline: float
    """When the call must be over, on the event loop's clock."""
    http: Http


class Tool(Protocol):
    """Something that an agent may call."""

    @property
    def name(self) -> str:
        """Name by which agents refer to it; that of its entry point."""
        ...

    @property
    def description(self) -> str:
        """What it does, for the model; agents' definitions may say it otherwise."""
        ...

    @property
    def input(self) -> type[BaseModel]:
        """Schema of the arguments; a call that breaks it never reaches the tool."""
        ...

    def __call__(self, arguments: BaseModel, context: ToolContext) -> Awaitable[str]:
        """Do it. The text is for the model, as is the message of `ToolFailed`."""
        ...
