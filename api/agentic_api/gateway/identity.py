"""Who calls: the run token of a request, verified once and remembered until it expires. The application asks."""

from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agentic_core.auth import run_tokens
from agentic_core.auth.run_tokens import RunClaims
from agentic_core.errors import Unauthenticated

MOST_TOKENS: Final = 10_000
"""Tokens remembered; a run makes several calls with one token."""
LONGEST_TOKEN: Final = 16 * 1024


class Verifier:
    """Verifies run tokens."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = keys
        self._known: OrderedDict[str, tuple[float, RunClaims]] = OrderedDict()

    def claims(self, headers: Mapping[bytes, bytes], now: float) -> RunClaims:
        """The claims of the request's token; `now` is the wall clock's."""
        token = bearer(headers)
        known = self._known.get(token)
        if known is not None and now < known[0]:
            return known[1]
        claims = run_tokens.verify(token, self._keys)
        _check_ids(claims)
        self._known[token] = expiry(token), claims
        self._known.move_to_end(token)
        if len(self._known) > MOST_TOKENS:
            self._known.popitem(last=False)
        return claims


def _check_ids(claims: RunClaims) -> None:
    """Usage is kept by these ids, so no call is made for a token that has none."""
    try:
        UUID(claims.tenant_id)
        UUID(claims.run_id)
    except ValueError:
        raise Unauthenticated("The run token's tenant_id and run_id have to be UUIDs.") from None


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The token as OpenAI's clients send it, or as Anthropic's do."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer":
        token = headers.get(b"x-api-key", b"")
    token = token.strip()
    if not token:
        raise Unauthenticated("Send the run token as 'Authorization: Bearer' or 'x-api-key'.")
    if len(token) > LONGEST_TOKEN:
        raise Unauthenticated("The run token is too long to be one.")
    return token.decode("latin-1")


def expiry(token: str) -> float:
    """When a token that was verified expires, in seconds since the epoch."""
    body = token.split(".")[1]
    return float(orjson.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"])
