"""Which failures of an append are about the rows, and what is said of a row that cannot be stored. Pure.

The usage queue decides by it what to retry and what to halve.
"""

import json
from dataclasses import asdict

from agentic_core.db import faults
from agentic_gateway.ledger import UsageRow

STATEMENT_CLASS = "42"
"""Class of SQLSTATE: the schema or the rights do not fit the statement, whatever its rows are."""
MAX_ERROR_CHARACTERS = 1_000


def is_unavailable(error: Exception) -> bool:
    """Whether the database could not be reached; the driver's complaints about values count as interface errors too."""
    return faults.is_unavailable(error) and not isinstance(error, ValueError)


def about_rows(error: Exception) -> bool:
    """Whether other rows may be stored where these were not."""
    sqlstate = getattr(error, "sqlstate", None) or ""
    return not sqlstate.startswith(STATEMENT_CLASS) and not is_unavailable(error)


def as_text(row: UsageRow) -> str:
    """The whole row as JSON in ASCII, whatever is in it."""
    return json.dumps(asdict(row), default=str)


def reason(error: Exception) -> str:
    """The error as text that can be stored."""
    text = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
