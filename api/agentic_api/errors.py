"""Errors of the api beside those of `agentic_core.errors`. Services raise them, `web.problems` responds with them."""

from collections.abc import Sequence
from typing import Any

from agentic_core.errors import Conflict, Forbidden, Invalid, NotFound, PlatformError


class RouteNotFound(NotFound):
    """No endpoint has this path."""

    code, title = "route_not_found", "No such endpoint"


class MethodNotAllowed(PlatformError):
    """The endpoint exists, the method does not."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class PreconditionFailed(PlatformError):
    """The thing is not the version that the client saw."""

    status, code, title = 412, "precondition_failed", "Changed meanwhile"


class UnsupportedMediaType(PlatformError):
    """The body is not JSON."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class AgentNotReady(Conflict):
    """The agent exists but has no revision that can run."""

    code, title = "agent_not_ready", "Agent not ready"


class Unreadable(Conflict):
    """A resource breaks a rule that its kind did not have when it was written."""

    code, title = "unreadable", "Resource of another version"


class GitOpsOnly(Conflict):
    """Agents are written by Git, not by this api."""

    code, title = "gitops_only", "Agents are managed by GitOps"


class AlreadyExists(Conflict):
    """A thing of this name exists."""

    code, title = "already_exists", "Already exists"


class NoTenant(Forbidden):
    """The platform admin has no tenant, this endpoint needs one."""

    code, title = "no_tenant", "The credential belongs to no tenant"


def invalid(mistakes: Sequence[Any]) -> Invalid:
    """What pydantic found wrong, as one error: `mistakes` are the items of `ValidationError.errors()`."""
    fields = [
        {"field": ".".join(map(str, item["loc"])), "message": str(item["msg"]).removeprefix("Value error, ")}
        for item in mistakes
    ]
    shown = "; ".join(f"{one['field']}: {one['message']}" if one["field"] else one["message"] for one in fields[:3])
    return Invalid(f"The request breaks a rule: {shown}", errors=fields)
