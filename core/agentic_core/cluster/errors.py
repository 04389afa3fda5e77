"""What can go wrong when talking to an API server: one class for each answer that a caller treats differently.

Raised by the client; the operator backs off or writes a condition, the api answers 502 unless it says otherwise.
"""

from agentic_core import errors


class ClusterError(errors.UpstreamFailed):
    """The API server refused or failed."""

    answer: int = 0
    """The HTTP status that the API server answered with; 0 when it did not answer."""
    reason: str = ""
    """The `reason` of the API server's Status object, for example AlreadyExists."""


class NotFound(ClusterError):
    """The object, or its kind, does not exist."""


class Conflict(ClusterError):
    """The object was changed, replaced or created by somebody else meanwhile."""


class Gone(ClusterError):
    """The resource version or the continue token is too old: list again."""


class Invalid(ClusterError):
    """The API server does not accept the object."""


class Forbidden(ClusterError):
    """Permission, a quota or an admission policy denies it."""


class Unauthorized(ClusterError):
    """The API server does not know the credential."""


class TooManyRequests(ClusterError):
    """The API server asks to slow down; `retry_after` seconds later it may work."""

    retry_after: float = 1.0


class ServerError(ClusterError):
    """The API server failed."""


class Unreachable(ClusterError):
    """The API server did not answer at all or not in time."""


class Fenced(ClusterError):
    """This process may not write any more: its leadership has run out."""
