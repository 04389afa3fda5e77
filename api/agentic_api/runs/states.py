"""What the statuses of a run mean, as one pure table; the schema of the database, the SQL and the api follow it.

A run in `queued`, `waiting` or `outcome_unknown` holds nothing: no replica, no lease, no connection. What is needed to
go on is in the database. So leases and their sweeper only concern statuses with `leased`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

RUN_STARTED = "run.started"
RUN_QUEUED = "run.queued"
"""Reserved: no stream reports it yet."""
RUN_WAITING = "run.waiting"
RUN_FINISHED = "run.finished"
EVENTS_EXPIRED = "events.expired"
"""In place of the events that were deleted long after the run."""


class RunStatus(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    """Stored, but no replica drives it yet."""
    RUNNING = "running"
    WAITING = "waiting"
    """For something from outside, such as an approval; continued by a new segment."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """A tool may have had an effect, and repeating it could double that: a person has to decide."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """The process that drove the run is gone; what was produced before it ended is kept."""


S = RunStatus


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What holds for the runs of one status."""

    following: frozenset[RunStatus]
    """Statuses that may come next."""
    event: str
    """The event by which a stream reports the status."""
    leased: bool = False
    """A replica drives the run and extends its lease; when the lease expires, another replica closes the run."""
    advances: bool = False
    """The run goes on by itself: requests that follow it wait for more."""

    @property
    def in_progress(self) -> bool:
        """The run may go on: its conversation takes no other run, its events and its idempotency key are kept."""
        return bool(self.following)


def _rule(*following: RunStatus, event: str, leased: bool = False, advances: bool = False) -> Rule:
    return Rule(following=frozenset(following), event=event, leased=leased, advances=advances)


RULES: dict[RunStatus, Rule] = {
    S.QUEUED: _rule(S.RUNNING, S.FAILED, S.CANCELLED, event=RUN_QUEUED, advances=True),
    S.RUNNING: _rule(
        S.QUEUED,  # when its replica is gone before anything had an effect
        S.WAITING,
        S.OUTCOME_UNKNOWN,
        S.SUCCEEDED,
        S.FAILED,
        S.CANCELLED,
        S.INTERRUPTED,
        event=RUN_STARTED,
        leased=True,
        advances=True,
    ),
    S.WAITING: _rule(S.QUEUED, S.RUNNING, S.FAILED, S.CANCELLED, event=RUN_WAITING),
    S.OUTCOME_UNKNOWN: _rule(S.QUEUED, S.RUNNING, S.FAILED, S.CANCELLED, event=RUN_WAITING),
    S.SUCCEEDED: _rule(event=RUN_FINISHED),
    S.FAILED: _rule(event=RUN_FINISHED),
    S.CANCELLED: _rule(event=RUN_FINISHED),
    S.INTERRUPTED: _rule(event=RUN_FINISHED),
}


def _with(names: Iterable[RunStatus]) -> tuple[RunStatus, ...]:
    return tuple(sorted(names))


IN_PROGRESS = _with(status for status, rule in RULES.items() if rule.in_progress)
TERMINAL = _with(status for status, rule in RULES.items() if not rule.in_progress)
LEASED = _with(status for status, rule in RULES.items() if rule.leased)
PAUSED = _with(status for status, rule in RULES.items() if rule.in_progress and not rule.leased)
"""In progress without a replica."""


def preceding(status: RunStatus) -> tuple[RunStatus, ...]:
    """The statuses that may become this one: what SQL that sets it has to find."""
    return _with(before for before, rule in RULES.items() if status in rule.following)
