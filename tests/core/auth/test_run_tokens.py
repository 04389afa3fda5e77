"""Run tokens: only what this platform signed, in time and for this audience, is believed."""

import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_core.auth import run_tokens
from agentic_core.errors import Unauthenticated
from tests.requirements import requirement

PRIVATE, PUBLIC = run_tokens.generate()
KEY = run_tokens.private_key(PRIVATE)
KEYS = run_tokens.public_keys(PUBLIC)
CLAIMS = run_tokens.RunClaims(
    tenant_id="6f1c1d0e-0000-4000-8000-000000000001",
    tenant="acme",
    namespace="acme-default",
    agent="assistant",
    run_id="run-1",
    models=("local/smollm2", "openai/gpt-5"),
)


@requirement("tenant-context")
def test_claims_are_the_same_after_signing_and_verifying() -> None:
    assert run_tokens.verify(run_tokens.sign(CLAIMS, KEY, lifetime=60), KEYS) == CLAIMS


def test_every_key_of_a_rotation_is_accepted() -> None:
    _, other = run_tokens.generate()
    both = run_tokens.public_keys(other + PUBLIC)
    assert run_tokens.verify(run_tokens.sign(CLAIMS, KEY, lifetime=60), both) == CLAIMS


def test_a_foreign_signature_is_refused() -> None:
    foreign, _ = run_tokens.generate()
    token = run_tokens.sign(CLAIMS, run_tokens.private_key(foreign), lifetime=60)
    with pytest.raises(Unauthenticated, match="not signed by this platform"):
        run_tokens.verify(token, KEYS)


def test_an_expired_token_is_refused() -> None:
    token = run_tokens.sign(CLAIMS, KEY, lifetime=-60)
    with pytest.raises(Unauthenticated, match="ExpiredSignature"):
        run_tokens.verify(token, KEYS)


def claimed() -> dict[str, object]:
    """The claims of a token that is good."""
    now = int(time.time())
    return CLAIMS.model_dump() | {"iss": run_tokens.ISSUER, "aud": run_tokens.AUDIENCE, "iat": now, "exp": now + 60}


@pytest.mark.parametrize(
    "change",
    [{"aud": "other"}, {"iss": "other"}, {"exp": None}, {"tenant_id": 5}, {"models": None}],
    ids=lambda change: next(iter(change)),
)
def test_wrong_claims_are_refused(change: dict[str, object]) -> None:
    body = {key: value for key, value in (claimed() | change).items() if value is not None}
    with pytest.raises(Unauthenticated):
        run_tokens.verify(jwt.encode(body, KEY, algorithm="EdDSA"), KEYS)


def test_an_unsigned_token_is_refused() -> None:
    assert run_tokens.verify(jwt.encode(claimed(), KEY, algorithm="EdDSA"), KEYS) == CLAIMS
    for keyed in (jwt.encode(claimed(), "", algorithm="none"), jwt.encode(claimed(), "a" * 32, algorithm="HS256")):
        with pytest.raises(Unauthenticated):
            run_tokens.verify(keyed, KEYS)


@given(st.text(max_size=300))
def test_any_text_is_refused_cleanly(text: str) -> None:
    with pytest.raises(Unauthenticated):
        run_tokens.verify(text, KEYS)


def test_a_text_without_keys_is_an_error() -> None:
    with pytest.raises(ValueError, match="Ed25519"):
        run_tokens.public_keys("")
