"""How an answer of the API server becomes an error, and which errors are worth another attempt; for the client."""

import random
from collections.abc import Mapping
from typing import Any

import orjson

from agentic_core.cluster import errors

MISSING, CONFLICT, GONE, UNPROCESSABLE, DENIED, UNKNOWN, THROTTLED = 404, 409, 410, 422, 403, 401, 429
CLASSES: Mapping[int, type[errors.ClusterError]] = {
    400: errors.Invalid,
    UNKNOWN: errors.Unauthorized,
    DENIED: errors.Forbidden,
    MISSING: errors.NotFound,
    CONFLICT: errors.Conflict,
    GONE: errors.Gone,
    413: errors.Invalid,
    415: errors.Invalid,
    UNPROCESSABLE: errors.Invalid,
    THROTTLED: errors.TooManyRequests,
}


def error(
    answer: int, body: bytes | Mapping[str, Any], *, request: str, retry_after: str | None = None
) -> errors.ClusterError:
    """The error that stands for an answer of 400 or more, or for a Status object inside a watch."""
    status = body if isinstance(body, Mapping) else _status(body)
    text = status.get("message") or (body[:200].decode(errors="replace") if isinstance(body, bytes) else "")
    found = CLASSES.get(answer, errors.ServerError)(f"{request}: {text or answer}")
    found.answer = answer
    found.reason = str(status.get("reason") or "")
    if isinstance(found, errors.TooManyRequests):
        found.retry_after = _seconds(retry_after or (status.get("details") or {}).get("retryAfterSeconds"))
    return found


def _status(body: bytes) -> dict[str, Any]:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return status if isinstance(status, dict) else {}


def _seconds(text: Any) -> float:
    try:
        return min(60.0, max(0.0, float(text)))
    except (TypeError, ValueError):
        return 1.0


def pause(failure: errors.ClusterError, attempt: int) -> float | None:
    """Seconds to wait before attempt number `attempt` + 1, with jitter; None when another attempt cannot help."""
    if isinstance(failure, errors.TooManyRequests):
        return failure.retry_after * random.uniform(1.0, 1.3) + random.uniform(0, 0.1)  # noqa: S311 - spreads load
    if isinstance(failure, errors.ServerError | errors.Unreachable):
        return min(5.0, 0.1 * 2.0**attempt) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
    return None
