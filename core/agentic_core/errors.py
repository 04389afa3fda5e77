"""The one error hierarchy: each error has an HTTP status, a stable code and a message that says what to do.

Raised anywhere; the api and the gateway turn it into RFC 9457 problem+json, the operator into a condition.
"""

from typing import Any, ClassVar, Self


class PlatformError(Exception):
    """An error with a meaning for the caller."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        """Further members of the problem document, JSON values only."""
        self.headers: dict[str, str] = {}
        """HTTP headers of the response, such as Retry-After."""

    def closing(self) -> Self:
        """This error, as the last response of its connection: the rest of the request is not waited for."""
        self.headers["Connection"] = "close"
        return self


class Invalid(PlatformError):
    """The request cannot be understood or breaks a rule."""

    status, code, title = 422, "invalid", "Invalid request"


class Malformed(PlatformError):
    """The request does not follow the protocol."""

    status, code, title = 400, "malformed", "Malformed request"


class Unauthenticated(PlatformError):
    """No credential, or one that is wrong, expired or revoked."""

    status, code, title = 401, "unauthenticated", "Not authenticated"


class Forbidden(PlatformError):
    """The credential is good but does not allow this."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(PlatformError):
    """The object does not exist, or belongs to another tenant."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(PlatformError):
    """The state of the object does not allow this now."""

    status, code, title = 409, "conflict", "Conflict"


class TooLarge(PlatformError):
    """The request is larger than allowed."""

    status, code, title = 413, "too_large", "Request too large"


class RateLimited(PlatformError):
    """Too many requests; `retry_after` seconds later it may work."""

    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, message: str, *, retry_after: float, **details: Any) -> None:
        super().__init__(message, **details)
        self.headers["Retry-After"] = str(max(1, round(retry_after)))


class Unavailable(PlatformError):
    """A program or service that is needed does not respond now."""

    status, code, title = 503, "unavailable", "Unavailable"


class UpstreamFailed(PlatformError):
    """A program or provider behind this one failed."""

    status, code, title = 502, "upstream_failed", "Upstream failed"


class RequestTimeout(PlatformError):
    """The request did not arrive in time."""

    status, code, title = 408, "request_timeout", "Request not received in time"


class Timeout(PlatformError):
    """It took longer than allowed."""

    status, code, title = 504, "timeout", "Timed out"
