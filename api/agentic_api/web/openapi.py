"""The OpenAPI document: what FastAPI derives from the endpoints, completed by the errors that all of them share.

`app` makes the document with it. An endpoint declares only what is its own.
"""

from collections.abc import Iterator
from typing import Any

from agentic_api import errors
from agentic_api.web.problems import FieldError, Problem
from agentic_core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PlatformError,
    RateLimited,
    RequestTimeout,
    Timeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from agentic_core.web.problems import PROBLEM_JSON, URN
from agentic_crds.base import Model

Responses = dict[int | str, dict[str, Any]]
ALWAYS = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)
"""The responses that every authenticated endpoint can have."""
KINDS: dict[int, tuple[type[PlatformError], str]] = {
    400: (Malformed, "The request body is not valid JSON: unexpected end of data."),
    401: (Unauthenticated, "The credential is not valid: it is unknown, expired or revoked."),
    403: (Forbidden, "This needs the role developer or more; this credential has viewer."),
    404: (NotFound, "Agent 'support' not found in the namespaces of your tenant."),
    408: (RequestTimeout, "The request body did not arrive within 15 s."),
    409: (Conflict, "Agent acme-default.support is not ready: ModelProvider acme-default/openai not found"),
    412: (errors.PreconditionFailed, "The agent has changed since: it has version 4 now, you sent 3."),
    413: (TooLarge, "The request body is larger than 2097152 bytes."),
    415: (errors.UnsupportedMediaType, "The request body must be JSON, sent with Content-Type: application/json."),
    422: (Invalid, "The request breaks a rule: body.model: Field required"),
    429: (RateLimited, "This key may make 6000 requests a minute; try again in 0.3 s."),
    500: (PlatformError, "The request failed inside the API; its logs have the cause under request 5f0c2c8c1f0e4b7d."),
    503: (Unavailable, "The database is unavailable; try again in a moment."),
    504: (Timeout, "The request took longer than 30 s and was given up."),
}


def public(*statuses: int) -> Responses:
    """The `responses` of an endpoint without authentication."""
    return {status: _response(status) for status in statuses}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the errors of every authenticated operation and the schema of problems."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, FieldError):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[model.__name__].pop("$defs", None)
    for name in {kind.__name__ for kind in _kinds(Model)} & schemas.keys():
        _allow_null(schemas[name])
    for method, operation in _operations(document):
        if "security" in operation:
            operation["responses"] |= {str(status): _response(status) for status in _statuses(method, operation)}
    return document


def _kinds(base: type[Model]) -> Iterator[type[Model]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _allow_null(schema: dict[str, Any]) -> None:
    """Say what holds for fragments of resources: null is the same as absent."""
    for name, field in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and {"type": "null"} not in field.get("anyOf", ()):
            notes = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}]} | notes


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return (pair for path in document["paths"].values() for pair in path.items())


def _statuses(method: str, operation: dict[str, Any]) -> Iterator[int]:
    yield from ALWAYS
    if method != "get":
        yield 409
    if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ())):
        yield 412


def _response(status: int) -> dict[str, Any]:
    kind, detail = KINDS[status]
    example = {
        "type": URN + kind.code,
        "title": kind.title,
        "status": status,
        "detail": detail,
        "code": kind.code,
        "request_id": "5f0c2c8c1f0e4b7d",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": kind.title, "content": {PROBLEM_JSON: {"schema": schema, "example": example}}}
