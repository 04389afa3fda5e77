"""The values that go between the runs' repository and those who drive and close runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from agentic_api.runs.schemas import Failure, RunUsage, Status, ToolExecution
from agentic_core.contract import Message

BATCH_EVENTS = 500
"""Maximum of events that a follower gets at once."""
BATCH_BYTES = 48 * 1024
"""The event with which a batch reaches this size is its last."""


@dataclass(frozen=True)
class StoredEvent:
    """An event of a run at its place in the order."""

    seq: int
    type: str
    payload: str
    """The event as JSON."""


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run as it begins."""

    id: UUID
    conversation_id: UUID
    continues: bool
    """Whether the conversation exists already."""
    agent_id: UUID
    namespace: str
    agent: str
    revision: str
    said: Sequence[Message] = field(repr=False)
    """The new messages."""
    metadata: dict[str, str]
    trace_id: str
    replica: UUID
    """Who drives it."""
    lease_seconds: float
    idempotency_key: str | None
    fingerprint: bytes | None
    """Hash of the request that the key stands for."""


@dataclass(frozen=True, kw_only=True)
class Closing:
    """How a run ends."""

    status: Status
    output: str = field(repr=False)
    error: Failure | None
    messages: Sequence[Message] = field(repr=False)
    """What it adds to the conversation."""
    tools: Sequence[ToolExecution] = field(repr=False)
    events: Sequence[StoredEvent] = field(repr=False)
    """Those that are not stored yet."""
    last_seq: int


@dataclass(frozen=True)
class Closed:
    """What the database says of a run at its end."""

    finished_at: datetime
    usage: RunUsage
    cost: Decimal


@dataclass(frozen=True)
class ConversationState:
    """A conversation that a new run continues."""

    agent_id: UUID


@dataclass(frozen=True)
class RunState:
    """Where a run is."""

    status: Status
    last_seq: int


@dataclass(frozen=True)
class KnownRequest:
    """The run that an idempotency key stands for."""

    run_id: UUID
    fingerprint: bytes
