"""The values that go between the journal of runs and those who begin, drive, follow and close runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid5

from agentic_api.catalog.resolved import ResolvedAgent
from agentic_api.runs.schemas import RunFailure, RunUsage, ToolExecution
from agentic_api.runs.states import RunStatus
from agentic_core.contract import Message
from agentic_core.db import uuid7

BATCH_EVENTS = 500
"""Maximum of events that a follower gets at once."""
BATCH_BYTES = 48 * 1024
"""The event with which a batch reaches this size is its last."""


@dataclass(frozen=True)
class StoredEvent:
    """An event of a run with its number."""

    seq: int
    type: str
    payload: str
    """The event as JSON."""


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that is to begin."""

    tenant_id: UUID
    agent: ResolvedAgent
    added: Sequence[Message] = field(repr=False)
    """The messages of the request."""
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    trace_id: str = ""
    replica: UUID | None
    """The replica that drives it; None for a run that is queued."""
    lease_seconds: float
    continues: UUID | None = None
    """The conversation that it continues; None for a new one."""
    parent_run_id: UUID | None = None
    """The run that it is a part of."""
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    """Hash of the request that the key stands for."""
    id: UUID = field(default_factory=uuid7)
    """Chosen before the first attempt to store it, so that a repeated attempt is recognised."""
    new_conversation_id: UUID = field(default_factory=uuid7)

    @property
    def conversation_id(self) -> UUID:
        """The conversation that it is in."""
        return self.continues or self.new_conversation_id

    @property
    def agent_id(self) -> UUID:
        """The id of the agent's row: a function of its name, so that no query is needed to find it."""
        return uuid5(self.tenant_id, f"{self.agent.namespace}/{self.agent.agent}")

    @property
    def status(self) -> RunStatus:
        """The status in which it begins."""
        return RunStatus.QUEUED if self.replica is None else RunStatus.RUNNING


@dataclass(frozen=True, kw_only=True)
class Closing:
    """How a run ends, as it is stored."""

    status: RunStatus
    output: str = field(repr=False)
    error: RunFailure | None
    messages: Sequence[Message] = field(repr=False)
    """What the run adds to the conversation."""
    tools: Sequence[ToolExecution] = field(repr=False)
    events: Sequence[StoredEvent] = field(repr=False)
    """Those that are not stored yet."""
    last_seq: int


@dataclass(frozen=True)
class RunEnd:
    """What only the database can say of a run that has ended."""

    finished_at: datetime
    usage: RunUsage
    cost: Decimal


@dataclass(frozen=True)
class RunProgress:
    """Where a run is, and the next batch of its events."""

    status: RunStatus
    last_seq: int
    """Number of its last event, once it has ended."""
    events: Sequence[StoredEvent] = ()


@dataclass(frozen=True)
class StoredRequest:
    """The run that an idempotency key stands for."""

    run_id: UUID
    fingerprint: bytes
