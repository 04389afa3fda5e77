"""What can go wrong when calling an API server: one class for each response that a caller treats differently.

Raised by the client; the operator backs off or writes a condition, the api responds with 502 unless it handles it.
"""

from agentic_core import errors


class ClusterError(errors.UpstreamFailed):
    """The API server refused or failed."""

    http_status: int = 0
    """HTTP status of the API server's response; 0 when there was none."""
    reason: str = ""
    """The `reason` of the API server's Status object, for example AlreadyExists."""


class ObjectNotFound(ClusterError):
    """The object, or its kind, does not exist."""


class ObjectConflict(ClusterError):
    """The object was changed, replaced or created by another client meanwhile."""


class Gone(ClusterError):
    """The resource version or the continue token is too old: list again."""


class ObjectInvalid(ClusterError):
    """The API server does not accept the object."""


class RequestForbidden(ClusterError):
    """Permission, a quota or an admission policy denies it."""


class Unauthorized(ClusterError):
    """The API server does not accept the credential."""


class TooManyRequests(ClusterError):
    """The API server limits the rate; a retry may work after `retry_after` seconds."""

    retry_after: float = 1.0


class ServerError(ClusterError):
    """The API server failed."""


class Unreachable(ClusterError):
    """The API server did not respond, or not in time."""


class Fenced(ClusterError):
    """This process may not write any more: its leadership has run out."""


class UnknownCluster(ClusterError):
    """An object is in a cluster that this process has no client for."""
