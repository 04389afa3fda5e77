"""Who calls: the run token of a request, verified once and remembered until it expires. The application asks."""

from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agentic_core.auth import run_tokens
from agentic_core.auth.run_tokens import RunClaims
from agentic_core.errors import Unauthenticated
from agentic_core.web import bearer as bearer_token

MOST_TOKENS: Final = 10_000
"""Tokens remembered; a run makes several calls with one token."""
LONGEST_TOKEN: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Credential:
    """A run token that was verified; times are seconds since the epoch."""

    claims: RunClaims
    issued_at: float
    expires_at: float


class Verifier:
    """Verifies run tokens."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = keys
        self._known: OrderedDict[str, Credential] = OrderedDict()

    def credential(self, headers: Mapping[bytes, bytes], now: float) -> Credential:
        """The request's token; `now` is the wall clock's."""
        token = bearer(headers)
        known = self._known.get(token)
        if known is not None and now < known.expires_at:
            return known
        claims = run_tokens.verify(token, self._keys)
        _check_ids(claims)
        verified = self._known[token] = Credential(claims, *times(token))
        self._known.move_to_end(token)
        if len(self._known) > MOST_TOKENS:
            self._known.popitem(last=False)
        return verified


def _check_ids(claims: RunClaims) -> None:
    """Usage is kept by these ids, so no call is made for a token that has none."""
    try:
        UUID(claims.tenant_id)
        UUID(claims.run_id)
    except ValueError:
        raise Unauthenticated("The run token's tenant_id and run_id have to be UUIDs.") from None


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The token as OpenAI's clients send it, or as Anthropic's do."""
    key = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    token = bearer_token.token(headers.get(b"authorization")) or key
    if not token:
        raise Unauthenticated("Send the run token as 'Authorization: Bearer' or 'x-api-key'.")
    if len(token) > LONGEST_TOKEN:
        raise Unauthenticated("The run token is too long to be one.")
    return token


def times(token: str) -> tuple[float, float]:
    """When a token that was verified was issued and when it expires."""
    text = token.split(".")[1]
    body = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return float(body["iat"]), float(body["exp"])
