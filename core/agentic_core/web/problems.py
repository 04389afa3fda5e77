"""Errors as RFC 9457 problem+json, the same document from every program that serves HTTP."""

from typing import Any

import orjson
from starlette.responses import Response

from agentic_core import telemetry
from agentic_core.errors import PlatformError

PROBLEM_JSON = "application/problem+json"
URN = "urn:agentic:problem:"
"""The type of a problem is this and its code."""


def document(error: PlatformError, *, request_id: str = "") -> dict[str, Any]:
    """The problem document of an error: its details and the standard members."""
    return error.details | {
        "type": URN + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
        "trace_id": telemetry.trace_id(),
    }


def response(error: PlatformError, *, request_id: str = "") -> Response:
    """The HTTP response that reports an error."""
    body = orjson.dumps(document(error, request_id=request_id), default=str)
    return Response(body, error.status, headers=error.headers, media_type=PROBLEM_JSON)
