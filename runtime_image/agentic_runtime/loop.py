"""The port between the server and whatever runs agents: one run in, events out.

The server calls it; `langchain_loop` implements it and tests may.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from agentic_core.contract import Event, RunRequest

Emit = Callable[[Event], Awaitable[None]]
"""Writes an event to the client; waits when the client reads slowly."""


@dataclass(frozen=True)
class RunJob:
    """A run to carry out."""

    request: RunRequest
    token: str = field(repr=False)
    """The run token, passed on to the gateway."""
    emit: Emit
    deadline: float
    """When the run must be over, on the event loop's clock."""


class Loop(Protocol):
    """Runs agents."""

    async def run(self, run: RunJob) -> str:
        """Returns the output. Emits what happens on the way; raises `RunFailed`. Cancelling it stops everything."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
