"""From the Authorization header to the caller, by the first scheme that recognises the credential.

The auth dependency calls it for every request. A new kind of credential is a new scheme in the list.
"""

from collections.abc import Sequence
from typing import Protocol

from agentic_api.identity.principal import Caller
from agentic_core.errors import Unauthenticated
from agentic_core.web import bearer

INVALID = "The credential is not valid: it is unknown, expired or revoked."
"""The same for every scheme and every mistake, so that nothing is learnt about credentials by trying."""


class Scheme(Protocol):
    """One kind of credential."""

    hint: str
    """How to send such a credential, for a request that has none."""

    async def caller(self, credential: str) -> Caller | None:
        """The caller that the credential proves; None when it is not a credential of this kind.

        Raises `Unauthenticated`, without saying what was wrong, when it is of this kind but not valid.
        """
        ...


class Authenticator:
    """Checks credentials of several kinds."""

    def __init__(self, schemes: Sequence[Scheme]) -> None:
        self._schemes = schemes

    async def caller(self, authorization: str | None) -> Caller:
        """The caller of a request with this Authorization header; `Unauthenticated` when there is none."""
        if authorization is None:
            raise unauthenticated(f"Send a credential: {' or '.join(scheme.hint for scheme in self._schemes)}")
        if credential := bearer.token(authorization):
            for scheme in self._schemes:
                if caller := await scheme.caller(credential):
                    return caller
        raise unauthenticated(INVALID)


def unauthenticated(message: str) -> Unauthenticated:
    """A refusal that says how to authenticate."""
    error = Unauthenticated(message)
    error.headers["WWW-Authenticate"] = 'Bearer realm="agentic"'
    return error
