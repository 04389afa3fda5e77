"""How a response of the API server becomes an error, and which errors are worth a retry; for the client."""

import random
from collections.abc import Mapping
from typing import Any

import orjson

from agentic_core.backoff import Backoff
from agentic_core.cluster import errors

ERRORS: Mapping[int, type[errors.ClusterError]] = {
    400: errors.ObjectInvalid,
    401: errors.Unauthorized,
    403: errors.RequestForbidden,
    404: errors.ObjectNotFound,
    409: errors.ObjectConflict,
    410: errors.Gone,
    413: errors.ObjectInvalid,
    415: errors.ObjectInvalid,
    422: errors.ObjectInvalid,
    429: errors.TooManyRequests,
}
BACKOFF = Backoff(first=0.2, longest=5.0, jitter=0.5)


def error(
    code: int, body: bytes | Mapping[str, Any], *, request: str, retry_after: str | None = None
) -> errors.ClusterError:
    """The error of a response with status 400 or more, or of a Status object inside a watch."""
    status = body if isinstance(body, Mapping) else _status(body)
    text = status.get("message") or (body[:200].decode(errors="replace") if isinstance(body, bytes) else "")
    found = ERRORS.get(code, errors.ServerError)(f"{request}: {text or code}")
    found.http_status = code
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


def pause(failure: errors.ClusterError, failures: int) -> float | None:
    """Seconds to wait after so many failures, with jitter; None when a retry cannot help."""
    if isinstance(failure, errors.TooManyRequests):
        return failure.retry_after * random.uniform(1.0, 1.3) + random.uniform(0, 0.1)  # noqa: S311 - spreads load
    if isinstance(failure, errors.ServerError | errors.Unreachable):
        return BACKOFF.pause(failures)
    return None
