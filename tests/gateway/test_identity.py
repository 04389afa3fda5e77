"""Run tokens at the gateway: remembered until they expire, no longer."""

import time
from uuid import uuid4

import pytest

from agentic_core.auth import run_tokens
from agentic_core.auth.run_tokens import RunClaims
from agentic_core.errors import Unauthenticated
from agentic_gateway.identify.verifier import Verifier, bearer

CLAIMS = RunClaims(tenant_id=str(uuid4()), tenant="t", namespace="ns", agent="a", run_id=str(uuid4()), models=("p/m",))


def test_a_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = run_tokens.generate()
    verifier = Verifier(run_tokens.public_keys(public))
    token = run_tokens.sign(CLAIMS, run_tokens.private_key(private), lifetime=60)
    headers = {b"authorization": b"Bearer " + token.encode()}
    assert verifier.credential(headers, time.time()).claims == CLAIMS
    calls: list[str] = []

    def counting(presented: str, _keys: object) -> RunClaims:
        calls.append(presented)
        raise Unauthenticated("expired")

    monkeypatch.setattr(run_tokens, "verify", counting)
    assert verifier.credential(headers, time.time() + 59).claims == CLAIMS
    assert calls == []
    with pytest.raises(Unauthenticated):
        verifier.credential(headers, time.time() + 61)
    assert calls == [token]


def test_a_key_that_was_rotated_in_is_good() -> None:
    (old, old_public), (new, new_public) = run_tokens.generate(), run_tokens.generate()
    verifier = Verifier(run_tokens.public_keys(old_public + new_public), max_tokens=2)
    for private in (old, new, old, new):
        token = run_tokens.sign(CLAIMS, run_tokens.private_key(private), lifetime=60 + id(private) % 50)
        assert verifier.credential({b"x-api-key": token.encode()}, time.time()).claims == CLAIMS


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({b"authorization": b"Bearer abc"}, "abc"),
        ({b"authorization": b"bearer  abc "}, "abc"),
        ({b"x-api-key": b"abc"}, "abc"),
        ({b"authorization": b"Basic eA==", b"x-api-key": b"abc"}, "abc"),
    ],
)
def test_a_token_is_found_in_either_header(headers: dict[bytes, bytes], token: str) -> None:
    assert bearer(headers) == token


@pytest.mark.parametrize("headers", [{}, {b"authorization": b"Bearer "}, {b"x-api-key": b"  "}])
def test_a_request_without_a_token_is_unauthenticated(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthenticated):
        bearer(headers)
