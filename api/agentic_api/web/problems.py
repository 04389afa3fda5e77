"""Errors as RFC 9457 problem+json: one shape and a stable code for every error of the api.

`app` installs the handlers; the middleware responds with `response` where no route is reached.
"""

import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agentic_api.errors import MethodNotAllowed, RouteNotFound, UnsupportedMediaType, invalid
from agentic_core.errors import Malformed, PlatformError
from agentic_core.web.problems import response

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PARAMETER = re.compile(r"\{[^}]+\}")


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    field: str
    """Where it is: `body.model.name`, `query.limit`."""
    message: str
    """What is wrong with it."""


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    type: str
    """URN of the kind of problem; it ends in the code."""
    title: str
    """The kind of problem in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong here, and what to do."""
    code: str
    """The kind of problem for programs; it never changes."""
    request_id: str = ""
    """Name of the request in logs."""
    trace_id: str = ""
    """The trace of the request; empty when it is not traced."""
    errors: list[FieldError] | None = None
    """What is wrong with each field, for `invalid`."""


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""
    app.add_exception_handler(PlatformError, _platform_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)


def request_id(request: Request) -> str:
    """The id of the request."""
    return str(request.scope.get("request_id", ""))


async def _platform_error(request: Request, error: Exception) -> Response:
    known = error if isinstance(error, PlatformError) else PlatformError("Internal error.")
    return response(known, request_id=request_id(request))


async def _http_exception(request: Request, error: Exception) -> Response:
    if isinstance(error.__cause__, PlatformError):  # FastAPI wraps what reading the body raised
        return response(error.__cause__, request_id=request_id(request))
    status = error.status_code if isinstance(error, HTTPException) else 500
    found = _of_status(request, status)
    return response(found, request_id=request_id(request))


def _of_status(request: Request, status: int) -> PlatformError:
    where = f"{request.method} {request.url.path}"
    match status:
        case 404:
            return RouteNotFound(f"There is no endpoint {where}. See /docs for all of them.")
        case 405:
            allowed = ", ".join(_methods(request))
            error = MethodNotAllowed(f"There is no endpoint {where}; this path has {allowed}.")
            error.headers["Allow"] = allowed
            return error
        case 400:
            return Malformed("The request body could not be read.")
        case _:
            return PlatformError(f"{HTTPStatus(status).phrase}: {where}")


def _methods(request: Request) -> list[str]:
    """Methods of the path: those of all its routes, since Starlette names the first route's only."""
    path = request.url.path
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    found = [template for template in paths if _template(template).fullmatch(path)]
    best = max(found, key=lambda template: len(PARAMETER.sub("", template)), default="")
    return sorted(method.upper() for method in paths.get(best, {"get": {}}))


def _template(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, PARAMETER.split(path))))


async def _validation_error(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return response(_of_validation(request, list(found)), request_id=request_id(request))


def _of_validation(request: Request, found: list[dict[str, Any]]) -> PlatformError:
    if any(item["type"] == "json_invalid" for item in found):
        return Malformed(f"The request body is not valid JSON: {found[0].get('ctx', {}).get('error', 'syntax error')}.")
    in_body = any(item["loc"] and item["loc"][0] == "body" for item in found)
    has_body = in_body and request.headers.get("content-length") != "0"
    if has_body and not _is_json(request.headers.get("content-type", "")):
        return UnsupportedMediaType("The request body must be JSON, sent with Content-Type: application/json.")
    return invalid(found)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
