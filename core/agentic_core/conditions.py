"""Conditions as kstatus reads them: Ready always, Reconciling or Stalled only while true, never both.

The `status` module of each controller builds them; the engine writes what differs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agentic_core import names
from agentic_crds.base import Condition

State = Literal["True", "False", "Unknown"]

CONVERGED = "Converged"
"""The reason of a Ready condition that holds."""
MESSAGE_LIMIT = 1024
"""Longest message, in characters: longer ones are noise in `kubectl describe`."""


@dataclass(frozen=True)
class Observation:
    """A condition before it has a time."""

    type: str
    status: State
    reason: str
    message: str = ""


def true(kind: str, reason: str, message: str = "") -> Observation:
    """The condition `kind` holds."""
    return Observation(kind, "True", reason, message)


def false(kind: str, reason: str, message: str = "") -> Observation:
    """The condition `kind` does not hold."""
    return Observation(kind, "False", reason, message)


def unknown(kind: str, reason: str, message: str = "") -> Observation:
    """Whether the condition `kind` holds cannot be determined yet."""
    return Observation(kind, "Unknown", reason, message)


def ready(message: str) -> list[Observation]:
    """Converged: there is nothing left to do."""
    return [true(names.READY, CONVERGED, message)]


def reconciling(reason: str, message: str) -> list[Observation]:
    """Not converged yet; it will be without any change by a user."""
    return [false(names.READY, reason, message), true(names.RECONCILING, reason, message)]


def stalled(reason: str, message: str) -> list[Observation]:
    """Not converged, and it will not be until a user changes something."""
    return [false(names.READY, reason, message), true(names.STALLED, reason, message)]


def stamp(observations: Iterable[Observation], *, generation: int, now: datetime) -> list[Condition]:
    """The observations as conditions of this moment; the engine keeps the older time of those that do not change."""
    return [
        Condition(
            type=one.type,
            status=one.status,
            reason=one.reason,
            message=_shorten(one.message),
            observed_generation=generation,
            last_transition_time=now,
        )
        for one in observations
    ]


def _shorten(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
