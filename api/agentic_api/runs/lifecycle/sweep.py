"""Closes runs whose replica has died, each within bounds of memory and time; the keeper of leases calls it.

Whatever a run has stored, it must not take down one replica after the other, nor keep the runs behind it open:
- It is claimed first, in a transaction of its own that counts the attempt, so that no other replica tries it too, and
  that a replica which dies of it leaves a trace.
- Its events are read in batches, into a transcript of at most `TRANSCRIPT_BYTES`, one run at a time.
- What is larger, or has failed `MAX_ATTEMPTS` times, is closed without its transcript; its events stay readable.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from agentic_api.runs.lifecycle.capacity import event_bytes
from agentic_api.runs.lifecycle.transcript import Transcript
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import Closing, StoredEvent
from agentic_core import telemetry
from agentic_core.contract import ErrorCode, Failed, RunError, read_event
from agentic_core.db import Database, Transaction, faults, functions

INTERRUPTED: Final = RunError(code=ErrorCode.INTERRUPTED, message="The api replica that drove the run is gone.")
WITHOUT_TRANSCRIPT: Final = RunError(
    code=ErrorCode.INTERRUPTED,
    message="The api replica that drove the run is gone, and what the run had produced could not be added to its"
    " conversation; its events have it.",
)
BATCH: Final = 100
"""Runs of one sweep."""
TRANSCRIPT_BYTES: Final = 48 * 1024 * 1024
"""What a transcript may take; closing it takes about four times as much for a moment."""
MAX_ATTEMPTS: Final = 2
"""How often a run is tried with its transcript."""
log = telemetry.logger(__name__)


class TranscriptTooLarge(Exception):
    """The run's events amount to more than may be held at once."""


@dataclass(frozen=True)
class Sweeper:
    """Closes the runs of dead replicas for this one."""

    database: Database
    replica: UUID
    claim_seconds: float
    """How long a claimed run is left to this replica."""
    closed: Callable[[str], None]
    """Called with the status of each run that was closed."""

    async def sweep(self, mine: Collection[UUID]) -> None:
        """Close the runs that no replica drives any more; `mine` are driven here."""
        for expired in await functions.expired_runs(self.database, limit=BATCH):
            if expired.run_id not in mine and await self._closes(expired):
                log.warning("run interrupted", run=str(expired.run_id), tenant_id=str(expired.tenant_id))
                self.closed("interrupted")

    async def _closes(self, expired: functions.ExpiredRun) -> bool:
        """Close a run. One that cannot be closed must not keep those of other tenants open."""
        try:
            return await self._close(expired.tenant_id, expired.run_id)
        except Exception as error:
            if faults.is_unavailable(error):
                raise
            log.exception("run not swept", run=str(expired.run_id), tenant_id=str(expired.tenant_id))
            return False

    async def _close(self, tenant_id: UUID, run_id: UUID) -> bool:
        async with self.database.transaction(tenant_id) as transaction:
            attempt = await Journal(transaction).claim_expired(run_id, self.replica, seconds=self.claim_seconds)
        if attempt is None:
            return False
        async with self.database.transaction(tenant_id) as transaction:
            closing = await _ending(transaction, run_id, whole=attempt <= MAX_ATTEMPTS)
            journal = Journal(transaction)
            return await journal.close(run_id, closing, holder=self.replica, closer=self.replica) is not None


async def _ending(transaction: Transaction, run_id: UUID, *, whole: bool) -> Closing:
    journal = Journal(transaction)
    if whole:
        try:
            return await interruption(journal, run_id)
        except TranscriptTooLarge:
            log.warning("transcript too large", run=str(run_id), tenant_id=str(transaction.tenant_id))
    return _failed(Transcript(), await journal.last_event(run_id), WITHOUT_TRANSCRIPT)


async def interruption(journal: Journal, run_id: UUID) -> Closing:
    """The end of a run of which only the stored events are left. Raises `TranscriptTooLarge`."""
    found = StoredTranscript()
    while batch := await journal.events(run_id, after=found.last):
        for stored in batch:
            found.add(stored)
    return found.closing()


class StoredTranscript:
    """A transcript of stored events, bounded in memory."""

    def __init__(self) -> None:
        self.last = 0
        """Number of the last event."""
        self._transcript = Transcript()
        self._bytes = 0

    def add(self, stored: StoredEvent) -> None:
        """Add the next event. Raises `TranscriptTooLarge`."""
        payload = stored.payload.encode()
        event = read_event(payload)
        self._bytes += event_bytes(event, payload)
        if self._bytes > TRANSCRIPT_BYTES:
            raise TranscriptTooLarge
        self._transcript.add(event)
        self.last = stored.seq

    def closing(self) -> Closing:
        """The end of the run: its own, if that was stored."""
        if self._transcript.ended:
            return self._transcript.closing([], last_seq=self.last)
        return _failed(self._transcript, self.last, INTERRUPTED)


def _failed(transcript: Transcript, last: int, error: RunError) -> Closing:
    transcript.fail(error)
    event = StoredEvent(last + 1, "error", Failed(error=error).model_dump_json())
    return transcript.closing([event], last_seq=event.seq)
