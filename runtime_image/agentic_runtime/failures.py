"""How a run fails: the errors of a run, and what a failed model call is told as.

The loop and the guard raise them; the stream of a run ends with their `error`.
"""

import re
from typing import Any

from agentic_core import contract
from agentic_core.errors import PlatformError, Unavailable

MAX_MESSAGE = 500
SECRET = re.compile(r"\b(?:(?:sk|agk|key)[-_]|Bearer +)[A-Za-z0-9._-]{8,}")


class RunFailed(PlatformError):
    """A run ended without an answer."""

    def __init__(self, code: contract.ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error = contract.RunError(code=code, message=message)


class Draining(Unavailable):
    """The server is shutting down."""

    code, title = "runtime_draining", "Shutting down"


class Busy(Unavailable):
    """The server has as many runs as it may have."""

    code, title = "runtime_busy", "Too many runs"


def model_failure(error: Exception) -> RunFailed:
    """What the run reports when a model call raised: the gateway's own words, never a key or a prompt."""
    status = getattr(error, "status_code", None)
    if _wire_member(error, "code") == "max_tokens_exceeded":
        return RunFailed("max_tokens_exceeded", _safe(_wire_message(error)))
    if status == 403:
        return RunFailed("model_not_allowed", _safe(_wire_message(error) or "The model is not allowed for this agent."))
    if status is None:
        return RunFailed("model_failed", _safe(_wire_message(error) or _connection_message(error)))
    return RunFailed("model_failed", _safe(_wire_message(error) or f"The model gateway answered {status}."))


def _wire_message(error: Exception) -> str:
    return _wire_member(error, "message")


def _wire_member(error: Exception, name: str) -> str:
    """A member of an OpenAI or Anthropic error body, empty when there is none."""
    body: Any = getattr(error, "body", None)
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else ""


def _connection_message(error: Exception) -> str:
    return f"The connection to the model gateway failed ({type(error.__cause__ or error).__name__})."


def _safe(message: str) -> str:
    return SECRET.sub("***", message)[:MAX_MESSAGE]
