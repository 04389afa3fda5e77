"""Who calls: the run token of a request, verified once and cached until it expires. The flow calls it."""

from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from cachetools import LRUCache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agentic_core.auth import run_tokens
from agentic_core.auth.run_tokens import RunClaims
from agentic_core.errors import Unauthenticated
from agentic_core.web import bearer as bearer_token
from agentic_gateway.ledger import Purpose, Spender, SpendingRun

MAX_TOKENS: Final = 10_000
"""Tokens cached; a run makes several calls with one token."""
MAX_TOKEN_CHARACTERS: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Credential:
    """A run token that was verified."""

    claims: RunClaims
    spender: Spender
    """The account of what is called with it."""
    expires_at: float
    """By the wall clock."""


class Verifier:
    """Verifies run tokens."""

    def __init__(self, keys: Sequence[Ed25519PublicKey], *, max_tokens: int = MAX_TOKENS) -> None:
        self._keys = keys
        self._cache: LRUCache[str, Credential] = LRUCache(max_tokens)

    def credential(self, headers: Mapping[bytes, bytes], now: float) -> Credential:
        """The request's token; `now` is the wall clock's."""
        token = bearer(headers)
        cached = self._cache.get(token)
        if cached is not None and now < cached.expires_at:
            return cached
        claims = run_tokens.verify(token, self._keys)
        issued_at, expires_at = times(token)
        verified = self._cache[token] = Credential(claims, _spender(claims, issued_at), expires_at)
        return verified


def _spender(claims: RunClaims, issued_at: float) -> Spender:
    """The run as a spender. Usage is stored by its ids, so a token without them is good for no call."""
    try:
        tenant_id, run_id = UUID(claims.tenant_id), UUID(claims.run_id)
    except ValueError:
        raise Unauthenticated("The run token's tenant_id and run_id have to be UUIDs.") from None
    run = SpendingRun(run_id, claims.max_tokens, running_at=issued_at)
    return Spender(tenant_id, f"run:{run_id}", claims.agent, run, Purpose.RUN)


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The token, as OpenAI's clients send it or as Anthropic's do."""
    key = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    token = bearer_token.token(headers.get(b"authorization")) or key
    if not token:
        raise Unauthenticated("Send the run token as 'Authorization: Bearer' or 'x-api-key'.")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Unauthenticated("The run token is too long to be one.")
    return token


def times(token: str) -> tuple[float, float]:
    """When a token that was verified was issued and when it expires."""
    text = token.split(".")[1]
    body = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return float(body["iat"]), float(body["exp"])
