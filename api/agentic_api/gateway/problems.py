"""What the gateway refuses or cannot do, each with its status and stable code; every module here raises them.

A wire puts them into its own error format.
"""

from agentic_core.errors import Forbidden, Malformed, NotFound, Timeout, Unavailable, UpstreamFailed


class ModelNotAllowed(Forbidden):
    """The run or the tenant may not call this model."""

    code, title = "model_not_allowed", "Model not allowed"


class ModelNotFound(NotFound):
    """No provider of the namespace offers this model."""

    code, title = "model_not_found", "Model not found"


class WrongWire(Malformed):
    """The model's provider speaks another protocol than the request."""

    code, title = "wrong_wire", "Wrong endpoint for this model"


class ProviderFailed(UpstreamFailed):
    """No backend gave an answer."""

    code, title = "provider_failed", "Model provider failed"


class ProviderUnavailable(Unavailable):
    """Every backend failed so often that it is left alone for now."""

    code, title = "provider_unavailable", "Model provider unavailable"


class ProviderForbidden(UpstreamFailed):
    """The provider's address must not be called, or it does not accept its key."""

    code, title = "provider_misconfigured", "Model provider misconfigured"


class AnswerTimedOut(Timeout):
    """The request's time was over before its answer was complete."""

    code, title = "answer_timeout", "Answer timed out"


class UsageBacklog(Unavailable):
    """Usage cannot be recorded at the moment, so nothing that costs is done."""

    code, title = "usage_backlog", "Usage cannot be recorded"
