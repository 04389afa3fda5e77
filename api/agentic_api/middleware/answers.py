"""Large answers on their way to clients: the edge sends them in pieces, and counts them to the tenant that asked.

A client that reads slowly, or not at all, keeps the rest of its answer in this process's memory.
"""

from collections.abc import Callable
from uuid import UUID

from starlette.types import Message, Send

from agentic_api.dependencies.principal import Caller, Principal
from agentic_api.shares import Shares
from agentic_core.errors import RateLimited

PIECE_BYTES = 64 * 1024
"""What the connection holds of an answer. Smaller ones are not counted."""
NOBODY = UUID(int=0)
"""To whom answers without a tenant are counted, such as the pages of the documentation."""
RETRY_SECONDS = 2.0


class TooManyAnswers(RateLimited):
    """The tenant's large answers fill its share of the replica."""

    code, title = "too_many_answers", "Too many large answers at once"


class Answers:
    """The large answers of a process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shares = Shares(most, each=most)

    def hold(self, caller: Caller | None, size: int) -> Callable[[], None]:
        """Count an answer of so many bytes; call what it returns once it is sent. Raises `TooManyAnswers`."""
        tenant_id = caller.tenant_id if isinstance(caller, Principal) else NOBODY
        counted = min(size, self._most // 2)  # the largest one has to fit, too
        if not self._shares.take(tenant_id, counted):
            raise TooManyAnswers(
                f"Large answers that your tenant has not read yet hold {self._shares.held(tenant_id)} bytes, its share"
                " of this replica of the api; read them, or close their connections, and try again.",
                retry_after=RETRY_SECONDS,
            )
        return lambda: self._shares.give(tenant_id, counted)


def declared(start: Message) -> int:
    """The bytes that an answer says it will have; 0 for a stream."""
    return next((int(value) for name, value in start.get("headers", ()) if name.lower() == b"content-length"), 0)


async def in_pieces(message: Message, send: Send) -> None:
    """Send a part of a body piece by piece: each waits until the connection has taken the one before."""
    body = memoryview(message["body"])
    final = not message.get("more_body", False)
    last = len(body) - PIECE_BYTES
    for begin in range(0, len(body), PIECE_BYTES):
        piece = bytes(body[begin : begin + PIECE_BYTES])
        await send({"type": "http.response.body", "body": piece, "more_body": not (final and begin >= last)})
