"""Which failures of an append are about the rows, and what is said of a row that cannot be stored. Pure.

The usage queue decides by it what to retry and what to halve.
"""

import json
from dataclasses import asdict

from agentic_gateway.ledger import UsageRow

ROW_CLASSES = ("22", "23", "54")
"""Classes of SQLSTATE: values that no column takes, broken constraints, and what exceeds a limit of the server."""
STATEMENT_CLASS = "42"
"""Class of SQLSTATE: the schema or the rights do not fit the statement, whatever its rows are."""
MAX_ERROR_CHARACTERS = 1_000


def about_rows(error: Exception) -> bool:
    """Whether other rows may be stored where these were not.

    All other failures may pass: a database that cannot be reached or takes no writes, a wrong password, a deadlock.
    """
    return isinstance(error, ValueError) or _sqlstate(error).startswith(ROW_CLASSES)


def is_lasting(error: Exception) -> bool:
    """Whether a row that could not be dead-lettered for this reason never can be."""
    return about_rows(error) or _sqlstate(error).startswith(STATEMENT_CLASS)


def _sqlstate(error: Exception) -> str:
    return getattr(error, "sqlstate", None) or ""


def as_text(row: UsageRow) -> str:
    """The whole row as JSON in ASCII, whatever is in it."""
    return json.dumps(asdict(row), default=str)


def reason(error: Exception) -> str:
    """The error as text that can be stored."""
    text = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
