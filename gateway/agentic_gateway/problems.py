"""Errors of the gateway, each with its status and stable code; every module here raises them.

A wire puts them into its own error format.
"""

from agentic_core.errors import (
    Forbidden,
    Malformed,
    NotFound,
    PlatformError,
    Timeout,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
)


class TokensUsedUp(PlatformError):
    """The run has used the tokens that it may use."""

    status, code, title = 402, "max_tokens_exceeded", "Token limit of the run used up"


class RunEnded(Unauthenticated):
    """The token's run has ended."""

    code, title = "run_ended", "Run ended"


class RunUnknown(Unavailable):
    """The run's usage cannot be read at the moment."""

    code, title = "run_unknown", "State of the run unknown"


class TenantGone(Unauthenticated):
    """The token's Tenant does not exist any more, whether or not there is another of its name."""

    code, title = "tenant_gone", "Tenant gone"


class Unpriced(Malformed):
    """The request uses a feature that the price list has no price for."""

    code, title = "unpriced_feature", "Feature without a price"


class UnknownMember(Malformed):
    """The request has a member that the gateway does not know, and so cannot count."""

    code, title = "unknown_member", "Unknown member"


class ModelNotAllowed(Forbidden):
    """The run or the tenant may not call this model."""

    code, title = "model_not_allowed", "Model not allowed"


class ModelNotFound(NotFound):
    """No provider of the namespace offers this model."""

    code, title = "model_not_found", "Model not found"


class WrongWire(Malformed):
    """The model's provider has another protocol than the request."""

    code, title = "wrong_wire", "Wrong endpoint for this model"


class ProviderFailed(UpstreamFailed):
    """No backend gave a response."""

    code, title = "provider_failed", "Model provider failed"


class ProviderUnavailable(Unavailable):
    """The circuit of every backend is open: they failed too often."""

    code, title = "provider_unavailable", "Model provider unavailable"


class ProviderForbidden(UpstreamFailed):
    """The provider's address is not allowed, or it rejects its key."""

    code, title = "provider_misconfigured", "Model provider misconfigured"


class ResponseTimedOut(Timeout):
    """The request's time was over before its response was complete."""

    code, title = "answer_timeout", "Answer timed out"


class UsageBacklog(Unavailable):
    """Usage cannot be recorded at the moment, so calls that cost are rejected."""

    code, title = "usage_backlog", "Usage cannot be recorded"
