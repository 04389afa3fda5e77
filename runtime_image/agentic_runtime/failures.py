"""How a run fails: the errors of a run, and what a failed model call is reported as.

The endpoint raises those that refuse a run, the loop and its limits those that end it: then its stream ends with their
`error`.
"""

from typing import Any, Final

from agentic_core import contract
from agentic_core.contract import ErrorCode
from agentic_core.errors import Invalid, PlatformError, Unavailable
from agentic_core.quoting import quoted

GATEWAY_BUSY: Final = "gateway_busy"
"""Code of the gateway's refusals that say: nothing was done, try again."""
MAX_BUSY_SECONDS: Final = 10.0


class RunFailed(PlatformError):
    """A run ended without a result."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error = contract.RunError(code=code, message=message)


class TryAnother(Unavailable):
    """The run has not begun here and can be sent again, which another runtime may take."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers["Retry-After"] = "1"


class Draining(TryAnother):
    """The server is shutting down."""

    code, title = ErrorCode.RUNTIME_DRAINING, "Shutting down"


class Busy(TryAnother):
    """The server has as many runs, or as much of their requests, as it may have."""

    code, title = ErrorCode.RUNTIME_BUSY, "Too many runs"


class VersionUnsupported(Invalid):
    """The run needs a newer version of the run contract."""

    code, title = ErrorCode.VERSION_UNSUPPORTED, "Contract version not supported"


def model_failure(error: Exception) -> RunFailed:
    """What the run reports when a model call raised: the gateway's own words, never a key or a prompt."""
    status = getattr(error, "status_code", None)
    if _wire_member(error, "code") == ErrorCode.MAX_TOKENS_EXCEEDED:
        return RunFailed(ErrorCode.MAX_TOKENS_EXCEEDED, quoted(_wire_message(error)))
    if status == 403:
        return RunFailed(
            ErrorCode.MODEL_NOT_ALLOWED, quoted(_wire_message(error) or "The model is not allowed for this agent.")
        )
    if status is None:
        return RunFailed(ErrorCode.MODEL_FAILED, quoted(_wire_message(error) or _connection_message(error)))
    return RunFailed(ErrorCode.MODEL_FAILED, quoted(_wire_message(error) or f"The model gateway answered {status}."))


def busy_seconds(error: Exception) -> float | None:
    """When a model call may be sent again that the gateway refused for lack of room; None for any other error."""
    if getattr(error, "status_code", None) != 429 or _wire_member(error, "code") != GATEWAY_BUSY:
        return None
    response: Any = getattr(error, "response", None)
    wait = str(response.headers.get("retry-after", "1")) if response is not None else "1"
    return min(float(wait), MAX_BUSY_SECONDS) if wait.isascii() and wait.isdigit() else 1.0


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
